package forest

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// lgbTree is a block's values. Splits and leaves are numbered apart: a child below
// zero is leaf ^child, as it is in a [Node].
type lgbTree struct {
	leaves, cats, linear            int // num_leaves, num_cat, is_linear
	feature, decision, left, right  []int32
	threshold, leafValue            []float64
	catBoundaries                   []int32 // where in catBits each set starts and ends
	catBits                         []uint32
	leafConst, leafCoef             []float64
	leafFeatureCounts, leafFeatures []int32 // the leaves' linear models, one after the other
}

// tree reads the block of tree i, to the empty line that ends it.
func (f *lgbFile) tree(i int) (Tree, error) {
	if line, _ := f.next(); string(line) != "Tree="+strconv.Itoa(i) {
		return Tree{}, fmt.Errorf("line %d: %q", f.line, short(string(line)))
	}
	t := &f.trees
	t.reset()
	for {
		line, ok := f.next()
		if !ok {
			return Tree{}, errCut
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte("="))
		if err := t.field(string(name), value); err != nil {
			return Tree{}, fmt.Errorf("line %d: %w", f.line, within(short(string(name)), err))
		}
	}
	return t.build(f.e.Inputs)
}

func (t *lgbTree) reset() {
	for _, ints := range []*[]int32{&t.feature, &t.decision, &t.left, &t.right, &t.catBoundaries, &t.leafFeatureCounts, &t.leafFeatures} {
		*ints = (*ints)[:0]
	}
	for _, floats := range []*[]float64{&t.threshold, &t.leafValue, &t.leafConst, &t.leafCoef} {
		*floats = (*floats)[:0]
	}
	t.catBits = t.catBits[:0]
	t.leaves, t.cats, t.linear = 0, 0, 0
}

func (t *lgbTree) field(name string, value []byte) error {
	switch name {
	case "num_leaves":
		return parseCount(value, &t.leaves)
	case "num_cat":
		return parseCount(value, &t.cats)
	case "is_linear":
		return parseCount(value, &t.linear)
	case "split_feature":
		return parseInts(value, &t.feature)
	case "decision_type":
		return parseInts(value, &t.decision)
	case "left_child":
		return parseInts(value, &t.left)
	case "right_child":
		return parseInts(value, &t.right)
	case "cat_boundaries":
		return parseInts(value, &t.catBoundaries)
	case "num_features":
		return parseInts(value, &t.leafFeatureCounts)
	case "leaf_features":
		return parseInts(value, &t.leafFeatures)
	case "threshold":
		return parseFloats(value, &t.threshold)
	case "leaf_value":
		return parseFloats(value, &t.leafValue)
	case "leaf_const":
		return parseFloats(value, &t.leafConst)
	case "leaf_coeff":
		return parseFloats(value, &t.leafCoef)
	case "cat_threshold":
		return eachWord(value, func(word string) error {
			v, err := strconv.ParseUint(word, 10, 32)
			t.catBits = append(t.catBits, uint32(v))
			return err
		})
	case "split_gain", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count", "shrinkage":
		return nil // not for scoring: leaf values are shrunk already
	}
	return fmt.Errorf("unknown field: written by a version of LightGBM that this program does not know")
}

// build checks the columns and makes them a tree. A child follows its parent and has
// only one, which proves the tree.
func (t *lgbTree) build(inputs []Input) (Tree, error) {
	if err := t.check(); err != nil {
		return Tree{}, err
	}
	tree := Tree{Weight: 1, Nodes: make([]Node, t.leaves-1), Leaves: make([]Leaf, t.leaves)}
	bits := append(Set(nil), t.catBits...)
	for c := range t.cats {
		tree.Sets = append(tree.Sets, bits[t.catBoundaries[c]:t.catBoundaries[c+1]])
	}
	parents := make([]bool, 2*t.leaves) // of nodes, then of leaves: has one
	for i := range tree.Nodes {
		n, err := t.split(i, inputs)
		for _, child := range []int32{n.Left, n.Right} {
			at := int(child)
			if child < 0 {
				at = t.leaves + int(^child)
			}
			switch {
			case err != nil:
			case child >= 0 && (int(child) <= i || int(child) >= len(tree.Nodes)), int(^child) >= t.leaves:
				err = fmt.Errorf("child %d: not a later node of %d, nor a leaf of %d", child, len(tree.Nodes), t.leaves)
			case parents[at]:
				err = fmt.Errorf("child %d: has two parents: not a tree", child)
			default:
				parents[at] = true
			}
		}
		if err != nil {
			return Tree{}, fmt.Errorf("node %d: %w", i, err)
		}
		tree.Nodes[i] = n
	}
	if err := t.fillLeaves(tree.Leaves, len(inputs)); err != nil {
		return Tree{}, err
	}
	return tree, nil
}

// check compares the columns' lengths, and allocates nothing by num_leaves before.
func (t *lgbTree) check() error {
	if t.leaves == 0 {
		return fmt.Errorf("num_leaves is 0")
	}
	splits := t.leaves - 1
	if len(t.decision) == 0 {
		t.decision = append(t.decision, make([]int32, len(t.feature))...)
	}
	for _, column := range []struct {
		name      string
		has, want int
	}{
		{"leaf_value", len(t.leafValue), t.leaves},
		{"split_feature", len(t.feature), splits},
		{"threshold", len(t.threshold), splits},
		{"decision_type", len(t.decision), splits},
		{"left_child", len(t.left), splits},
		{"right_child", len(t.right), splits},
	} {
		if column.has != column.want {
			return fmt.Errorf("%s has %d values, num_leaves is %d", column.name, column.has, t.leaves)
		}
	}
	if t.cats == 0 {
		return nil
	}
	if len(t.catBoundaries)-1 != t.cats {
		return fmt.Errorf("cat_boundaries has %d values, num_cat is %d", len(t.catBoundaries), t.cats)
	}
	last := int32(0)
	for _, b := range t.catBoundaries {
		if b < last || int(b) > len(t.catBits) {
			return fmt.Errorf("cat_boundaries has %d after %d, cat_threshold has %d values", b, last, len(t.catBits))
		}
		last = b
	}
	return nil
}

// decision_type's bits.
const (
	lgbCategorical  = 1
	lgbDefaultLeft  = 2
	lgbMissingShift = 2 // 0 none, 1 zero, 2 NaN
)

func (t *lgbTree) split(i int, inputs []Input) (Node, error) {
	decision := t.decision[i]
	n := Node{Feature: t.feature[i], Left: t.left[i], Right: t.right[i], Set: -1}
	if n.Feature < 0 || int(n.Feature) >= len(inputs) {
		return n, fmt.Errorf("split_feature is %d of %d", n.Feature, len(inputs))
	}
	if decision < 0 || decision>>lgbMissingShift > 2 {
		return n, fmt.Errorf("decision_type is %d", decision)
	}
	if decision&lgbCategorical != 0 {
		set := t.threshold[i]
		if set != math.Trunc(set) || set < 0 || set >= float64(t.cats) {
			return n, fmt.Errorf("threshold is %v, not one of %d category sets", set, t.cats)
		}
		n.Set = int32(set)
		inputs[n.Feature].Kind = Categorical
		return n, nil // NaN is in no set: it goes right, whatever the other bits
	}
	n.Threshold = math.Nextafter(t.threshold[i], math.Inf(1))
	n.DefaultLeft = decision&lgbDefaultLeft != 0
	n.Missing = [...]Missing{MissingNone, MissingZero, MissingNaN}[decision>>lgbMissingShift]
	if math.IsInf(t.threshold[i], 1) {
		// All that is not missing is <= +Inf, +Inf too, which no < can say. Turned
		// around: nothing is < -Inf.
		n.Left, n.Right, n.Threshold, n.DefaultLeft = n.Right, n.Left, math.Inf(-1), !n.DefaultLeft
	}
	return n, nil
}

func (t *lgbTree) fillLeaves(leaves []Leaf, inputs int) error {
	for i := range leaves {
		leaves[i].Value = t.leafValue[i]
		if err := finite("leaf_value", t.leafValue[i]); err != nil {
			return fmt.Errorf("leaf %d: %w", i, err)
		}
	}
	if t.linear == 0 {
		return nil
	}
	if len(t.leafConst) != len(leaves) || len(t.leafFeatureCounts) != len(leaves) || len(t.leafFeatures) != len(t.leafCoef) {
		return fmt.Errorf("leaf_const has %d values, num_features %d, leaf_features %d, leaf_coeff %d; num_leaves is %d",
			len(t.leafConst), len(t.leafFeatureCounts), len(t.leafFeatures), len(t.leafCoef), len(leaves))
	}
	features := append([]int32(nil), t.leafFeatures...)
	coefs := append([]float64(nil), t.leafCoef...)
	for _, values := range [][]float64{t.leafConst, t.leafCoef} {
		for _, v := range values {
			if err := finite("value of leaf_const or leaf_coeff", v); err != nil {
				return err
			}
		}
	}
	for i := range leaves {
		n := int(t.leafFeatureCounts[i])
		if n < 0 || n > len(features) {
			return fmt.Errorf("leaf %d: num_features is %d, but leaf_features has %d more", i, n, len(features))
		}
		leaves[i] = Leaf{Value: t.leafConst[i], Fallback: t.leafValue[i]}
		if n > 0 {
			leaves[i].Feature, leaves[i].Coef = features[:n:n], coefs[:n:n]
		}
		features, coefs = features[n:], coefs[n:]
		for _, feature := range leaves[i].Feature {
			if feature < 0 || int(feature) >= inputs {
				return fmt.Errorf("leaf %d: leaf_features has %d of %d", i, feature, inputs)
			}
		}
	}
	if len(features) > 0 {
		return fmt.Errorf("leaf_features has %d values more than num_features says", len(features))
	}
	return nil
}
