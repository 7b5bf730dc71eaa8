package forest

import (
	"fmt"
	"math"
	"slices"
)

// build places the nodes that can be reached, parents first. To visit none twice is
// to prove that they are a tree.
func (c *xgbColumns) build(setWords *int) (Tree, error) {
	if err := c.check(); err != nil {
		return Tree{}, err
	}
	if err := c.readSets(setWords); err != nil {
		return Tree{}, err
	}
	c.seen = append(c.seen[:0], make([]bool, c.nodes)...)
	c.todo = append(c.todo[:0], xgbVisit{node: 0, parent: -1})
	for len(c.todo) > 0 {
		v := c.todo[len(c.todo)-1]
		c.todo = c.todo[:len(c.todo)-1]
		if c.seen[v.node] {
			return Tree{}, fmt.Errorf("node %d: is the child of node %d and of another: not a tree", v.node, v.parent)
		}
		c.seen[v.node] = true
		place := int32(len(c.out))
		var err error
		if c.left[v.node] == -1 {
			place = ^int32(len(c.leaves))
			err = c.leaf(v.node)
		} else {
			err = c.split(v.node)
		}
		if err != nil {
			return Tree{}, fmt.Errorf("node %d: %w", v.node, err)
		}
		if v.parent >= 0 && v.right {
			c.out[v.parent].Right = place
		} else if v.parent >= 0 {
			c.out[v.parent].Left = place
		}
	}
	return Tree{Nodes: slices.Clone(c.out), Leaves: slices.Clone(c.leaves), Sets: c.sets, Weight: 1}, nil
}

// check compares the columns' lengths.
func (c *xgbColumns) check() error {
	if c.nodes == 0 || len(c.left) != c.nodes {
		return fmt.Errorf("left_children has %d values, num_nodes is %d", len(c.left), c.nodes)
	}
	for _, column := range []struct {
		name string
		has  int
	}{
		{"right_children", len(c.right)},
		{"split_indices", len(c.feature)},
		{"default_left", len(c.defaultLeft)},
		{"split_conditions", len(c.condition)},
		{"split_type", len(c.categorical)},
	} {
		if column.has != c.nodes && (column.name != "split_type" || column.has != 0) {
			return fmt.Errorf("%s has %d values, num_nodes is %d", column.name, column.has, c.nodes)
		}
	}
	if c.vector > 1 && len(c.leafWeights) == 0 && len(c.weights) != c.nodes*c.vector {
		return fmt.Errorf("base_weights has %d values, not %d for each of %d nodes", len(c.weights), c.vector, c.nodes)
	}
	if n := len(c.catNodes); len(c.catFrom) != n || len(c.catSizes) != n {
		return fmt.Errorf("categories_nodes has %d values, categories_segments %d, categories_sizes %d", n, len(c.catFrom), len(c.catSizes))
	}
	return nil
}

// readSets makes the categorical nodes' bitsets. One category of a high code makes a
// large set, so all sets together may not grow past what setWords has left.
func (c *xgbColumns) readSets(setWords *int) error {
	c.setOf = c.setOf[:0]
	if len(c.categorical) == 0 {
		return nil
	}
	for range c.nodes {
		c.setOf = append(c.setOf, -1)
	}
	for i, node := range c.catNodes {
		from, size := int(c.catFrom[i]), int(c.catSizes[i])
		if node < 0 || int(node) >= c.nodes {
			return fmt.Errorf("categories_nodes[%d] is %d of %d nodes", i, node, c.nodes)
		}
		if from < 0 || size < 0 || from > len(c.cats) || size > len(c.cats)-from {
			return fmt.Errorf("node %d: categories %d to %d of %d", node, from, from+size, len(c.cats))
		}
		var set Set
		if size > 0 {
			listed := c.cats[from : from+size]
			low, high := slices.Min(listed), slices.Max(listed)
			if low < 0 || high >= outOfRangeCategory {
				return fmt.Errorf("node %d: categories from %d to %d, not from 0 to %d", node, low, high, outOfRangeCategory-1)
			}
			words := int(high)/32 + 1
			if *setWords -= words; *setWords < 0 {
				return fmt.Errorf("node %d: the splits' category sets are too large for a file of this size", node)
			}
			set = make(Set, words)
			for _, code := range listed {
				set[code/32] |= 1 << (code % 32)
			}
		}
		c.setOf[node] = int32(len(c.sets))
		c.sets = append(c.sets, set)
	}
	return nil
}

func (c *xgbColumns) leaf(node int32) error {
	if c.vector == 1 {
		v := float64(c.condition[node])
		c.leaves = append(c.leaves, Leaf{Value: v})
		return finite("leaf value", v)
	}
	from, all := int(node)*c.vector, c.weights
	if len(c.leafWeights) > 0 {
		all = c.leafWeights
		leaf := int(c.right[node])
		if from = leaf * c.vector; leaf < 0 || leaf >= len(all)/c.vector {
			return fmt.Errorf("right_children is %d of %d leaves", leaf, len(all)/c.vector)
		}
	}
	vector := make([]float64, c.vector)
	for g := range vector {
		vector[g] = float64(all[from+g])
		if err := finite("leaf value", vector[g]); err != nil {
			return err
		}
	}
	c.leaves = append(c.leaves, Leaf{Vector: vector})
	return nil
}

func (c *xgbColumns) split(node int32) error {
	n := Node{Feature: c.feature[node], Set: -1, DefaultLeft: c.defaultLeft[node] != 0}
	if n.Feature < 0 {
		return fmt.Errorf("split_indices is %d", n.Feature)
	}
	kind := int32(0)
	if len(c.categorical) > 0 {
		kind = c.categorical[node]
	}
	switch kind {
	case 0:
		n.Threshold = float64(c.condition[node])
		if math.IsNaN(n.Threshold) {
			return fmt.Errorf("split_conditions is NaN")
		}
	case 1:
		n.Set, n.ListedRight = c.setOf[node], true
		if n.Set < 0 {
			return fmt.Errorf("is categorical, but not in categories_nodes")
		}
	default:
		return fmt.Errorf("split_type is %d", kind)
	}
	parent := int32(len(c.out))
	c.out = append(c.out, n)
	for _, v := range []xgbVisit{{c.right[node], parent, true}, {c.left[node], parent, false}} {
		if v.node < 0 || int(v.node) >= c.nodes {
			return fmt.Errorf("child %d of %d nodes", v.node, c.nodes)
		}
		c.todo = append(c.todo, v)
	}
	return nil
}

func finite(what string, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%s is %v", what, v)
	}
	return nil
}
