package forest

import (
	"fmt"
)

// outOfRangeCategory is XGBoost's OutOfRangeCat: no category's code is as large.
const outOfRangeCategory = 1 << 24

// xgbColumns is a tree as XGBoost stores it: a value a node, leaves among them, in
// an order of no meaning (pruned nodes stay, and their places are used again).
type xgbColumns struct {
	left, right   []int32 // -1 for a leaf
	feature       []int32
	defaultLeft   []int32
	categorical   []int32   // split_type
	condition     []float32 // a leaf's: its value
	weights       []float32 // of nodes; a vector each in a tree of vectors
	leafWeights   []float32 // of leaves, since 3.2: a leaf's right child says which
	cats          []int32   // the categorical nodes' categories
	catNodes      []int32
	catFrom       []int32
	catSizes      []int32
	nodes, vector int // num_nodes, size_leaf_vector

	// Scratch of build.
	seen   []bool
	setOf  []int32
	todo   []xgbVisit
	out    []Node
	leaves []Leaf
	sets   []Set
}

// xgbVisit is a node still to be placed, and whose child it is; parent -1: nobody's.
type xgbVisit struct {
	node, parent int32
	right        bool
}

// tree reads trees[i].
func (f *xgbFile) tree(i int) error {
	c := &f.columns
	c.reset()
	params := map[string]string{}
	err := f.object(func(name string) error { return f.treeField(i, name, params) })
	if err != nil {
		return err
	}
	nodes, err := count(params, "num_nodes", len(c.left))
	if err != nil {
		return within("tree_param", err)
	}
	vector, err := count(params, "size_leaf_vector", 1)
	if err != nil {
		return within("tree_param", err)
	}
	c.nodes, c.vector = nodes, max(vector, 1)
	tree, err := c.build(&f.setWords)
	if err != nil {
		return err
	}
	f.trees = append(f.trees, tree)
	return nil
}

func (f *xgbFile) treeField(i int, name string, params map[string]string) error {
	c := &f.columns
	switch name {
	case "left_children":
		return f.ints(&c.left)
	case "right_children":
		return f.ints(&c.right)
	case "split_indices":
		return f.ints(&c.feature)
	case "default_left":
		return f.ints(&c.defaultLeft)
	case "split_type":
		return f.ints(&c.categorical)
	case "split_conditions":
		return f.floats(&c.condition)
	case "base_weights":
		return f.floats(&c.weights)
	case "leaf_weights":
		return f.floats(&c.leafWeights)
	case "categories":
		return f.ints(&c.cats)
	case "categories_nodes":
		return f.ints(&c.catNodes)
	case "categories_segments":
		return f.ints(&c.catFrom)
	case "categories_sizes":
		return f.ints(&c.catSizes)
	case "tree_param":
		return f.strings(params)
	case "id":
		id, err := f.integer()
		if err == nil && id != int64(i) {
			err = fmt.Errorf("is %d at position %d", id, i)
		}
		return err
	case "loss_changes", "sum_hessian", "parents", "leaf_child_counts":
		return f.skip()
	}
	return unknownField()
}

func (c *xgbColumns) reset() {
	for _, ints := range []*[]int32{&c.left, &c.right, &c.feature, &c.defaultLeft, &c.categorical, &c.cats, &c.catNodes, &c.catFrom, &c.catSizes} {
		*ints = (*ints)[:0]
	}
	c.condition, c.weights, c.leafWeights = c.condition[:0], c.weights[:0], c.leafWeights[:0]
	c.out, c.leaves, c.sets = c.out[:0], c.leaves[:0], nil
}
