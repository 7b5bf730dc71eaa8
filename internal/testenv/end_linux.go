package testenv

import (
	"os/exec"
	"syscall"
)

// endWithParent kills the process when the tests die without their cleanup.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
