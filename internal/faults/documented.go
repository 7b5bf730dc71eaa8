package faults

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Documented compares the faults of the first table behind a text, of a page, with those
// that a suite has.
func Documented(page, behind string, have []string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	_, rest, ok := strings.Cut(string(text), behind)
	if !ok {
		return fmt.Errorf("%s does not hold %q", page, behind)
	}
	var listed []string
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			if listed != nil {
				break
			}
			continue
		}
		listed = append(listed, strings.TrimSpace(strings.Split(line, "|")[1]))
	}
	listed = listed[min(2, len(listed)):] // the head
	var errs []error
	for _, name := range listed {
		if !slices.Contains(have, name) {
			errs = append(errs, fmt.Errorf("%s lists %q, which the suite has not", page, name))
		}
	}
	for _, name := range have {
		if !slices.Contains(listed, name) {
			errs = append(errs, fmt.Errorf("%s does not list %q", page, name))
		}
	}
	return errors.Join(errs...)
}
