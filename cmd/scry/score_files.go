package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"scry/internal/batch"
)

// scoreFiles are what score writes.
type scoreFiles struct {
	predictions io.Writer
	rejects     *batch.Rejects

	files    []*batch.File
	buffered []*bufio.Writer
}

func (o *scoreOptions) open(inputs []batch.Input, stdout io.Writer, screen *progress) (*scoreFiles, error) {
	f := &scoreFiles{predictions: batch.Whole(stdout), rejects: &batch.Rejects{W: screen}}
	for _, name := range []string{o.out, o.rejects} {
		if name == "" {
			continue
		}
		if err := notAnInput(name, inputs); err != nil {
			return nil, err
		}
		file, err := batch.Create(name)
		if err != nil {
			return nil, errors.Join(err, f.close(false))
		}
		f.files = append(f.files, file)
		if name == o.out {
			f.predictions = file
		} else {
			w := bufio.NewWriter(file)
			f.buffered = append(f.buffered, w)
			f.rejects = &batch.Rejects{W: w, JSON: true}
		}
	}
	return f, nil
}

func notAnInput(name string, inputs []batch.Input) error {
	target, err := os.Stat(name)
	if err != nil || !target.Mode().IsRegular() {
		return nil // it is not there, or is nothing that writing destroys
	}
	for _, in := range inputs {
		if info, err := os.Stat(in.Name); err == nil && os.SameFile(info, target) {
			return &usageError{fmt.Errorf("%s is an input; write to another file", name)}
		}
	}
	return nil
}

// close gives the files their names, or leaves none.
func (f *scoreFiles) close(complete bool) error {
	var err error
	for _, w := range f.buffered {
		err = errors.Join(err, w.Flush())
	}
	if !complete || err != nil {
		f.abort()
		if complete {
			return fmt.Errorf("writing the rejects: %w", err)
		}
		return nil
	}
	for _, file := range slices.Backward(f.files) { // the predictions last
		if err := file.Commit(); err != nil {
			f.abort()
			return err
		}
	}
	return nil
}

func (f *scoreFiles) abort() {
	for _, file := range f.files {
		file.Abort()
	}
}
