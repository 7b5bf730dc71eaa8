//go:build faults

package faults

import "testing"

// TestDocs sets the suite against the table of docs/delivery.md.
func TestDocs(t *testing.T) {
	var names []string
	for _, f := range faults {
		names = append(names, f.name)
	}
	if err := Documented("../../docs/delivery.md", "by `make faults`", names); err != nil {
		t.Error(err)
	}
}
