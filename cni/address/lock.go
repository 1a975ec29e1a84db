package address

import (
	"errors"
	"fmt"
	"time"

	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/disk"
)

// ErrBusy is why a lock was not had: another process kept it all the while.
var ErrBusy = errors.New("another process keeps the lock")

const lockName = "lock" // host-local's

// Locked is a store that no other process changes meanwhile.
type Locked struct {
	Store
	disk *disk.Store
}

// Lock waits until no other process is in the directory, at most as long as
// given, and makes the directory where there is none. The lock is of an open file,
// so it ends with the process that has it. Close ends it before.
func (s Store) Lock(wait time.Duration) (*Locked, error) {
	d, err := disk.New("", s.Dir)
	if err != nil {
		return nil, err
	}
	// Waiting in the kernel is first come, first served. It cannot be broken off:
	// who gives up lets go of the lock when it comes.
	got := make(chan error, 1)
	go func() { got <- d.Lock() }()
	select {
	case err = <-got:
		if err == nil {
			return &Locked{s, d}, nil
		}
		err = errors.Join(err, d.Close())
	case <-time.After(wait):
		err = ErrBusy
		go func() {
			if err := <-got; err == nil {
				_ = d.Close()
			}
		}()
	}
	return nil, fmt.Errorf("lock %s, waited %s for: %w", s.Dir, wait, err)
}

// Close ends the lock.
func (l *Locked) Close() { _ = l.disk.Close() }
