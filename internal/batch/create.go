package batch

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// A File is written under a temporary name in its folder and takes its name at Commit.
// What is no regular file, such as a pipe or a device, is written as it is.
type File struct {
	f    *os.File
	name string
	temp string // empty: written as it is
}

// Create begins the file of a name. An older one of that name stays until Commit, and
// stays for good when Abort comes instead.
func Create(name string) (*File, error) {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := os.FileMode(0o666)
	if info, err := os.Stat(name); err == nil {
		switch {
		case info.IsDir():
			return nil, fmt.Errorf("%s is a folder; name a file in it", name)
		case !info.Mode().IsRegular():
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			return &File{f: f, name: name}, err
		}
		mode = info.Mode().Perm()
	}
	temp := filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%08x.tmp", filepath.Base(name), rand.Uint32()))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	return &File{f, name, temp}, err
}

func (f *File) Write(b []byte) (int, error) { return f.f.Write(b) }

// Commit makes the file what its name stands for.
func (f *File) Commit() error {
	if f.temp == "" {
		return f.f.Close()
	}
	err := errors.Join(f.f.Sync(), f.f.Close())
	if err == nil {
		err = os.Rename(f.temp, f.name)
	}
	if err != nil {
		os.Remove(f.temp) //nolint:errcheck // the first error tells more
	}
	return err
}

// Abort leaves nothing behind.
func (f *File) Abort() {
	f.f.Close()
	if f.temp != "" {
		os.Remove(f.temp) //nolint:errcheck // what stays is a temporary file
	}
}

// Whole makes of w a writer that takes back what it wrote of a block that did not fit,
// where w is a regular file: what is there then consists of whole records.
func Whole(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok {
		return w
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return w
	}
	return whole{f}
}

type whole struct{ f *os.File }

func (w whole) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if err != nil && n > 0 {
		if at, seekErr := w.f.Seek(0, io.SeekCurrent); seekErr == nil {
			w.f.Truncate(at - int64(n)) //nolint:errcheck // the write's error tells more
		}
	}
	return n, err
}
