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
// It says whether there was one. An error that the CNI plugin gave when it was to
// delete a pod is told, and keeps nothing from being removed.
func Down(ctx context.Context, d Dir) (bool, error) {
	if _, err := os.Stat(string(d)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var left error
	lock, err := d.acquire()
	if errors.Is(err, errLocked) {
		lock, left, err = d.end(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) { // somebody else took it down meanwhile
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	return true, errors.Join(left, d.remove())
}

// endPatience is how long a supervisor may take to end, first when asked and then when
// killed: longer than it gives itself for the deletion of pods.
const endPatience = 30 * time.Second

// end ends the supervisor and gives its lock: it asks, and where that does not
// help, kills. left is what the supervisor could not undo in order.
func (d Dir) end(ctx context.Context) (lock *os.File, left, err error) {
	asked, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	left, err = (&Client{Dir: d}).stop(asked)
	if err == nil {
		if lock, err := d.await(asked); err == nil {
			return lock, left, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("lab down: %w", err)
	}
	if err := d.kill(); err != nil {
		return nil, nil, err
	}
	killed, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	lock, err = d.await(killed)
	if err != nil {
		return nil, nil, fmt.Errorf("the supervisor of lab %q does not end; %s holds its lock: see `fuser %s`", d.Name(), d, d.lock())
	}
	return lock, left, nil
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
