//go:build faults

package stream

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A build with the tag faults fails where SCRY_FAILPOINT says: PLACE:PASSAGE[:ACTION],
// such as flush:3, when a goroutine comes by for the third time. The places are the
// boundaries of the stages:
//
//	poll      a batch was polled, nothing of it is scored
//	model     a model is about to score some rows
//	produce   all records of a batch are with the client
//	flush     the brokers have acknowledged all of them
//	cache     Redis has taken a batch
//	commit    all of that is done, the offsets or the transaction's end are about to be sent
//	end       the offsets are committed, or the transaction has ended
//
// The action is kill (the default: SIGKILL, as kill -9 or the kernel's would end it), panic
// (at this passage and every later one) or sleep (two seconds).
var (
	failing  = parseFailpoint(os.Getenv("SCRY_FAILPOINT"))
	passages atomic.Int64
)

type failure struct {
	place, action string
	passage       int64
}

func parseFailpoint(s string) failure {
	if s == "" {
		return failure{}
	}
	parts := append(strings.Split(s, ":"), "kill")
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		panic(fmt.Sprintf("SCRY_FAILPOINT=%s: want PLACE:PASSAGE[:ACTION]", s))
	}
	return failure{place: parts[0], passage: n, action: parts[2]}
}

func failpoint(place string) {
	if place != failing.place {
		return
	}
	switch n := passages.Add(1); {
	case n < failing.passage:
	case failing.action == "panic":
		panic("failpoint " + place)
	case n > failing.passage:
	case failing.action == "sleep":
		time.Sleep(2 * time.Second)
	default:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // not one instruction further
	}
}
