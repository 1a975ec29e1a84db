package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Lock makes its caller the only one who changes this node's network, until
// unlock is called or the process ends, however it ends (flock(2)). Where another
// holds the lock, the error says who.
func Lock(stateDir, who string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(stateDir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(f.Name())
		locked := &LockedError{Holder: strings.TrimSpace(string(holder))}
		return nil, errors.Join(locked, f.Close())
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%s (process %d)\n", who, os.Getpid()) // for the error above alone
	}
	return func() { _ = f.Close() }, nil
}

// LockedError says who else is at work on this node.
type LockedError struct{ Holder string }

func (e *LockedError) Error() string {
	return e.Holder + " is at work on this node; with an agent running, edit its state file instead"
}
