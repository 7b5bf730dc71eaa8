// Package buyerintent holds the model that `scry demo` scores its simulated shop
// with, so that the binary needs no file beside it. The README says how it is
// trained.
package buyerintent

import (
	"embed"
	"io/fs"
)

//go:embed bundle
var files embed.FS

// Bundle returns the files of the bundle: features.yaml, golden.json, model.ubj.
func Bundle() fs.FS {
	bundle, err := fs.Sub(files, "bundle")
	if err != nil {
		panic(err) // "bundle" is a valid path
	}
	return bundle
}
