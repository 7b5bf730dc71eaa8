//go:build !(linux || darwin || freebsd)

package main

import "time"

// usage is not known here.
func usage() (cpu time.Duration, peak int64) { return 0, 0 }
