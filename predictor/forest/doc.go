// Package forest loads tree ensembles and linear boosters as XGBoost and LightGBM
// saved them and scores rows to the last bit as the library would.
//
// A file becomes a plain [Ensemble] first, with every index checked; the shape of
// that chooses the layout that scores. Nothing in a file is trusted: memory is
// bounded by the file's size, never by a number written in it.
package forest
