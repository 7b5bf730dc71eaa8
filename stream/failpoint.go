//go:build !faults

package stream

// failpoint is where a build with the tag faults can be made to fail: see
// failpoint_faults.go. In every other it is nothing.
func failpoint(string) {}
