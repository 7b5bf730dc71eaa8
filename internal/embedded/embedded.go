// Package embedded runs Kafka and Redis inside the process, for `scry demo`: nothing
// to install, and kcat and redis-cli can still look in over TCP. Both hold all they
// know in memory and forget it on Close. They speak the protocols well enough for
// that; they are no measure of a real broker's latency, durability or Lua.
package embedded

import (
	"errors"
	"fmt"
	"syscall"
)

// open tries addr. An empty addr is the usual one, or any free port where that is
// taken: whoever did not ask for a port can live with another.
func open(addr, usual string, try func(addr string) error) error {
	if addr != "" {
		if err := try(addr); err != nil {
			return fmt.Errorf("%w; free the address or name another", err)
		}
		return nil
	}
	err := try(usual)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = try("127.0.0.1:0")
	}
	return err
}
