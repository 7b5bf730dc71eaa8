package forest

import (
	"os"
	"path/filepath"
	"testing"
)

// shared is the directory of the shared models. Without it the test is skipped, or,
// with SCRY_REQUIRE_SHARED=1, fails.
func shared(t testing.TB) string {
	t.Helper()
	dir := findShared()
	if dir == "" && os.Getenv("SCRY_REQUIRE_SHARED") == "1" {
		t.Fatal("no shared models found, and SCRY_REQUIRE_SHARED is 1")
	}
	if dir == "" {
		t.Skip("no shared models found")
	}
	return dir
}

// findShared is SCRY_SHARED, or the directory "shared" beside one of the parents.
func findShared() string {
	if dir := os.Getenv("SCRY_SHARED"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	for parent := filepath.Dir(dir); err == nil && parent != dir; dir, parent = parent, filepath.Dir(parent) {
		found := filepath.Join(parent, "shared")
		if _, err := os.Stat(filepath.Join(found, "models")); err == nil {
			return found
		}
	}
	return ""
}
