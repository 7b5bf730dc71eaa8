package main

import (
	"io"
	"os"
	"strconv"
)

// A terminal is where a command writes for people.
type terminal struct {
	io.Writer
	redraw bool // lines can be written over
	colour bool // styles can be shown
}

// openTerminal finds out what w can show: nothing but lines when it is a file or a pipe
// or TERM is dumb, no styles when NO_COLOR is set (no-color.org).
func openTerminal(w io.Writer) terminal {
	t := terminal{Writer: w}
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return t
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return t
	}
	if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(info, null) {
		return t // a character device too
	}
	t.redraw = true
	t.colour = os.Getenv("NO_COLOR") == ""
	return t
}

// The styles that commands use, as the parameters of an ANSI escape.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (t terminal) paint(style, s string) string {
	if !t.colour || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// count writes n with its thousands apart: 12,345.
func count[N int | int64 | uint64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
