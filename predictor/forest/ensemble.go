package forest

// An Ensemble is a model exactly as its file states it, before a layout is
// chosen: what every loader produces and every scorer is compiled from. A loader
// checks every index in it, so that whoever walks it needs no check.
type Ensemble struct {
	Library   string // "xgboost" or "lightgbm"
	Version   string // of the library that wrote the file; empty when the file does not say
	Objective string // as the file spells it, for people to read
	Inputs    []Input
	Outputs   []string // names of the scores, one a column of what Predict fills

	// Arith is the library's own arithmetic: Float32 rounds each value before it is
	// compared and sums float32 leaves in tree order; Float64 does neither.
	Arith Arith

	Groups int       // margins a row: one a class, or a target
	Base   []float64 // the margin each group starts from, Groups of them
	Trees  []Tree    // in the order they are summed; XGBoost before 1.3 adds its base last: a tree of one leaf
	Linear *Linear   // a linear booster instead of trees; nil otherwise

	// DartInPlace: XGBoost's dart before 3.4, as in-place prediction (the
	// scikit-learn wrapper) sums it. A leaf counts (Base+leaf-Base)*Weight, each step
	// rounded to float32; elsewhere it counts leaf*Weight, rounded.
	DartInPlace bool

	Average float64 // divides each margin after the sum; 1 but for a LightGBM random forest
	Link    Link    // margins -> scores
	Scale   float64 // the link's parameter: LightGBM's sigmoid; 1 otherwise
}

// Arith names the arithmetic a library scores with.
type Arith uint8

const (
	Float32 Arith = iota // XGBoost
	Float64              // LightGBM
)

// Kind is the type of an input column.
type Kind uint8

const (
	Numeric     Kind = iota
	Categorical      // the column holds a category's code
)

// An Input is one column of a row.
type Input struct {
	Name string // empty when the file holds none
	Kind Kind
	// Categories are the training values in code order, when the file holds them
	// (XGBoost since 3.1, LightGBM's pandas_categorical). A category's code is its position.
	Categories []string
}

// A Tree adds the value of the leaf a row falls into to one group's margin, or,
// when its leaves are vectors, to every group's.
type Tree struct {
	Group  int
	Nodes  []Node  // the root is Nodes[0]; children follow their parent
	Leaves []Leaf  // at least one; a tree of a single leaf has no Nodes
	Sets   []Set   // the categorical splits' sets
	Weight float64 // DART (XGBoost): each leaf counts Weight times, see DartInPlace; 1 otherwise
}

// A Node is one split. A row goes left when:
//
//	numeric:      value < Threshold (LightGBM's <= is stored as < the next float64)
//	categorical:  the value, truncated toward zero, is in Sets[Set], or, with
//	              ListedRight, is not. A negative value is in no set, save that
//	              Float64 takes (-1, 0) for 0
//
// unless the value is missing, which Missing defines: then it goes left when
// DefaultLeft is set. A child is an index into Nodes, or, below zero, ^index into Leaves.
type Node struct {
	Threshold   float64
	Feature     int32
	Left, Right int32
	Set         int32 // -1: numeric
	Missing     Missing
	DefaultLeft bool
	ListedRight bool // XGBoost sends listed categories right, LightGBM left
}

// Missing says which values of a split's feature are missing.
type Missing uint8

const (
	MissingNaN  Missing = iota // NaN
	MissingZero                // NaN and |x| <= float32(1e-35): LightGBM zero_as_missing
	MissingNone                // nothing: NaN counts as 0
)

// A Set is a bitset of category codes: code c is in it when bit c%32 of word c/32 is set.
type Set []uint32

// A Leaf is a scalar, a vector of one value a group (XGBoost multi_output_tree),
// or a linear model (LightGBM linear_tree): Value plus the sum of Coef[i] *
// x[Feature[i]], or Fallback when any of those is NaN.
type Leaf struct {
	Value    float64
	Vector   []float64
	Feature  []int32
	Coef     []float64
	Fallback float64
}

// Linear is XGBoost's gblinear: Weight is [feature][group], Bias one a group. A
// missing value adds nothing.
type Linear struct {
	Weight []float64
	Bias   []float64
}

// Link turns margins into scores.
type Link uint8

const (
	Identity      Link = iota
	Sigmoid            // 1/(1+exp(-Scale*m)), each group on its own
	Softmax            // over the groups
	SoftmaxArg         // the index of the greatest margin: one output (XGBoost multi:softmax)
	Exp                // exp(m)
	Hinge              // m > 0 (XGBoost binary:hinge)
	SignedSquare       // sign(m)*m*m (LightGBM reg_sqrt)
	Log1pExp           // log(1+exp(m)) (LightGBM cross_entropy_lambda)
	Sort               // the margins in ascending order (XGBoost quantile regression since 3.4)
	SoftplusSteps      // the first margin, then each score log(1+exp(m))+1e-6 above the one before (XGBoost expectiles)
)
