// Package sysctl keeps the kernel parameters that plumb sets: the two forwarding
// switches of the node and those of the interfaces that plumb owns.
//
// Parameters bear no mark of an owner, so plumb's are those that Track was told
// of, or that Apply wrote. None is ever deleted: one that is no longer wanted
// keeps its value, and vanishes with its interface. What the node had before
// plumb came is in Originals.
package sysctl

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/state"
)

// Kind reads, writes and watches parameters of one network namespace: that of
// the thread that calls its functions, which has to be the whole process's.
type Kind struct {
	// Originals, where it is not nil, gets the value of each parameter before
	// it is first changed. Set it before the first Apply.
	Originals *Originals
	// Lasts, where it is not nil, names interfaces that bear plumb's mark and
	// were made by other hands all the same: they outlive plumb, so their
	// parameters go into Originals too.
	Lasts func(dev string) bool

	conn  *monitor.Conn
	files files // for Read, Lookup and Apply, which one goroutine at a time calls

	mu      sync.Mutex // Watch's goroutine reads tracked
	tracked tracked
	wanted  map[string]string // what Apply was last told, by path
}

// New opens the kind's socket in the network namespace of the calling thread.
func New() (*Kind, error) { return NewAt("") }

// NewAt is New where the parameters are to be found in another directory than
// /proc/sys; empty: there. In a container /proc/sys is mounted read-only, and a
// volume of the host's /proc/sys/net is not: it shows the parameters of whichever
// network namespace its reader is in.
func NewAt(dir string) (*Kind, error) {
	if dir != "" {
		dir = filepath.Clean(dir) + "/"
	}
	conn, err := monitor.Dial()
	if err != nil {
		return nil, fmt.Errorf("sysctls: %w", err)
	}
	return &Kind{conn: conn, files: files{root: dir}, tracked: tracked{}, wanted: map[string]string{}}, nil
}

// Close closes the socket. Watches end with their context.
func (k *Kind) Close() { k.conn.Close() }

// Track makes Read and Watch report the parameters at paths (state.Sysctl.Path),
// whether or not they exist yet.
func (k *Kind) Track(paths ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range paths {
		k.tracked.add(p)
	}
}

// Untrack makes Read and Watch pass over the parameters at paths.
func (k *Kind) Untrack(paths ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range paths {
		k.tracked.remove(p)
		delete(k.wanted, p)
	}
}

// Read gives the tracked parameters that exist. One whose interface is gone is
// passed over.
func (k *Kind) Read(ctx context.Context, yield func(state.Sysctl)) error {
	k.mu.Lock()
	paths := k.tracked.all()
	k.mu.Unlock()
	return k.files.lookup(ctx, paths, yield)
}

// Lookup gives those of paths that are tracked and exist.
func (k *Kind) Lookup(ctx context.Context, paths []string, yield func(state.Sysctl)) error {
	var known []string
	k.mu.Lock()
	for _, p := range paths {
		if k.tracked.has(p) {
			known = append(known, p)
		}
	}
	k.mu.Unlock()
	return k.files.lookup(ctx, known, yield)
}

// lookup reads all paths that it can; the errors of the others come together.
func (r *files) lookup(ctx context.Context, paths []string, yield func(state.Sysctl)) error {
	var errs []error
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		v, err := r.read(p)
		switch {
		case err == nil:
			yield(state.Sysctl{Path: p, Value: v})
		case !missing(err):
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// missing says that a parameter does not exist; ENODEV and EINVAL are not taken
// for it, since a file that was opened in time still answers.
func missing(err error) bool { return errors.Is(err, unix.ENOENT) }

// tracked is a set of paths by interface, so that an event that concerns one
// interface costs no more than what is tracked of it.
type tracked map[string]map[string]struct{}

func (t tracked) add(path string) {
	_, dev, _ := device(path)
	if t[dev] == nil {
		t[dev] = map[string]struct{}{}
	}
	t[dev][path] = struct{}{}
}

func (t tracked) remove(path string) {
	_, dev, _ := device(path)
	delete(t[dev], path)
	if len(t[dev]) == 0 {
		delete(t, dev)
	}
}

func (t tracked) has(path string) bool {
	_, dev, _ := device(path)
	_, ok := t[dev][path]
	return ok
}

func (t tracked) all() []string {
	var paths []string
	for _, of := range t {
		for p := range of {
			paths = append(paths, p)
		}
	}
	return paths
}
