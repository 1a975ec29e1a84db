package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Down takes a lab down, whatever state it is in, and removes its run directory.
// It says whether there was one.
func Down(ctx context.Context, d Dir) (bool, error) {
	if _, err := os.Stat(string(d)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock, err := d.acquire()
	if errors.Is(err, errLocked) {
		lock, err = d.end(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) { // somebody else took it down meanwhile
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	return true, d.remove()
}

// end ends the supervisor and gives its lock: it asks, and where that does not
// help, kills.
func (d Dir) end(ctx context.Context) (*os.File, error) {
	asked, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := (&Client{Dir: d}).stop(asked)
	if err == nil {
		if lock, err := d.await(asked); err == nil {
			return lock, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("lab down: %w", err)
	}
	if err := d.kill(); err != nil {
		return nil, err
	}
	killed, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	lock, err := d.await(killed)
	if err != nil {
		return nil, fmt.Errorf("the supervisor of lab %q does not end; %s holds its lock: see `fuser %s`", d.Name(), d, d.lock())
	}
	return lock, nil
}

// await takes the lock as soon as the supervisor has let go of it.
func (d Dir) await(ctx context.Context) (*os.File, error) {
	for {
		lock, err := d.acquire()
		if !errors.Is(err, errLocked) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, errLocked
		case <-time.After(5 * time.Millisecond):
		}
	}
}
