package forest

import (
	"fmt"
	"slices"
)

// What one version of XGBoost does and another does not.

// baseLast is for the first versions, which sum the leaves from 0 and then add the
// base: it becomes the last tree, of one leaf. In-place prediction, where dart
// differs, came with 1.4.
func baseLast(e *Ensemble) {
	e.DartInPlace = false
	for g, base := range e.Base {
		if base != 0 {
			e.Trees = append(e.Trees, Tree{Group: g, Leaves: []Leaf{{Value: base}}, Weight: 1})
			e.Base[g] = 0
		}
	}
}

// isASCII tells names that can be trusted from those that cannot: XGBoost 3.1 to 3.3
// cuts the bytes of all by their lengths in letters.
func isASCII(names []string) bool {
	for _, name := range names {
		for i := range len(name) {
			if name[i] >= 0x80 {
				return false
			}
		}
	}
	return true
}

// invertSets is for XGBoost 1.6, which sends a code beyond a node's bitset to the
// default side. Where that is the right, the codes that go left are listed instead.
func (f *xgbFile) invertSets() {
	for i := range f.trees {
		for k := range f.trees[i].Nodes {
			n := &f.trees[i].Nodes[k]
			if n.Set < 0 || n.DefaultLeft {
				continue
			}
			n.ListedRight = false
			set := f.trees[i].Sets[n.Set]
			for w := range set {
				set[w] = ^set[w]
			}
		}
	}
}

// bestTrees is how many trees are scored: as the scikit-learn wrapper does, those of
// the rounds up to best_iteration, when the model was stopped early.
func (f *xgbFile) bestTrees(groups int, vectors bool) (int, error) {
	if f.rounds != nil {
		if n := len(f.rounds); n == 0 || f.rounds[0] != 0 || !slices.IsSorted(f.rounds) || int(f.rounds[n-1]) != len(f.trees) {
			return 0, fmt.Errorf("model.iteration_indptr does not divide %d trees into rounds", len(f.trees))
		}
	}
	best, err := count(f.attrs, "best_iteration", -1)
	if err != nil || best < 0 {
		return len(f.trees), err
	}
	if f.rounds != nil {
		if best+1 >= len(f.rounds) {
			return 0, fmt.Errorf("best_iteration is %d of %d rounds", best, len(f.rounds)-1)
		}
		return int(f.rounds[best+1]), nil
	}
	round, err := count(f.params, "num_parallel_tree", 0)
	if err != nil {
		return 0, err
	}
	if round == 0 { // not in the file before 1.4; later versions take it for 1 then
		limit, err := count(f.attrs, "best_ntree_limit", best+1)
		if err != nil {
			return 0, err
		}
		round = limit / (best + 1)
	}
	if !vectors {
		round *= groups
	}
	if used := (best + 1) * round; used > 0 && used <= len(f.trees) {
		return used, nil
	}
	return 0, fmt.Errorf("best_iteration is %d, but there are %d trees, %d a round", best, len(f.trees), round)
}
