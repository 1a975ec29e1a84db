package address

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBusy is why a lock was not had: another process kept it all the while.
var ErrBusy = errors.New("another process keeps the lock")

const lockName = "lock" // host-local's

// Lock waits until no other process is in the directory, at most as long as
// given, and makes the directory where there is none. It is the lock of
// host-local, on an open file, so it ends with the process that has it.
func (s Store) Lock(wait time.Duration) (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(s.Dir, lockName)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	release := func() { f.Close() }
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err == nil {
		return release, nil
	} else if !errors.Is(err, unix.EWOULDBLOCK) {
		release()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// Waiting in the kernel is first come, first served, which trying again and
	// again is not. It cannot be broken off: who gives up lets go of the lock when
	// it comes.
	got := make(chan error, 1)
	go func() { got <- flock(f, unix.LOCK_EX) }()
	select {
	case err = <-got:
		if err == nil {
			return release, nil
		}
		release()
	case <-time.After(wait):
		err = ErrBusy
		go func() {
			if err := <-got; err == nil {
				release()
			}
		}()
	}
	return nil, fmt.Errorf("lock %s, waited %s for: %w", path, wait, err)
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
