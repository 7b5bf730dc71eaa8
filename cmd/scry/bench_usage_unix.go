//go:build linux || darwin || freebsd

package main

import (
	"runtime"
	"syscall"
	"time"
)

// usage returns the CPU time that the process has taken, user's and system's, and the
// most memory it has held, in bytes; 0 where that is unknown.
func usage() (cpu time.Duration, peak int64) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, 0
	}
	peak = int64(u.Maxrss)        //nolint:unconvert // 32 bits on some systems
	if runtime.GOOS != "darwin" { // in bytes there, in KiB elsewhere
		peak <<= 10
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), peak
}
