package batch

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// TestWhole: a block that did not fit the disk is taken back, so that a file consists of
// whole ones.
func TestWhole(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Skip("no limit of a file's size here:", err)
	}
	name := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := Whole(f)
	small := limit
	small.Cur = 250
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Skip("no limit of a file's size here:", err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit) //nolint:errcheck // it was in force before
	block := make([]byte, 100)
	for i := range 3 {
		if n, err := w.Write(block); (err == nil) != (i < 2) {
			t.Errorf("block %d: %d bytes written: %v", i, n, err)
		}
	}
	if info, err := os.Stat(name); err != nil || info.Size() != 200 {
		t.Errorf("%d bytes: %v", info.Size(), err)
	}
}
