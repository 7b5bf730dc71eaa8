package stream

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
)

// guardScript is the guard where it counts: in Redis, which runs it atomically.
// It serves both sides of an upgrade as long as values begin with their version.
//
//go:embed guard.lua
var guardScript string

// guardSHA is the name EVALSHA knows guardScript by.
var guardSHA = func() string {
	sum := sha1.Sum([]byte(guardScript))
	return hex.EncodeToString(sum[:])
}()

// maxGuardKeys bounds one run of the script, and with it how long Redis serves
// nobody else.
const maxGuardKeys = 128

// A verdict is what the guard says of one incoming prediction.
type verdict int

const (
	verdictWrite   verdict = iota
	verdictStale           // the cache holds a newer one
	verdictExpired         // it is past its own expiry already
)

// judge is the rule of guard.lua in Go, for one key: write when the incoming
// version is at least the stored one and now is before the incoming expiry. stored
// is nil when the key is absent or holds something else than a prediction. now and
// expireAt are Unix ms; an expireAt of 0 means never.
//
// Expiry comes first: it is Redis that forgets the stored version when that
// expires, and whatever is older expires no later. So what is let in after is newer.
func judge(stored *Version, incoming Version, now, expireAt int64) verdict {
	switch {
	case expireAt != 0 && now >= expireAt:
		return verdictExpired
	case stored != nil && incoming.less(stored):
		return verdictStale
	}
	return verdictWrite
}
