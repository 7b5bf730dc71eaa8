//go:build !linux

package main

import "time"

// threadCPU is not known here.
var threadCPU func() time.Duration
