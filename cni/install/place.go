package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// place makes path a regular file of this content and mode, and says what it did.
// Whoever opens or executes path finds the old file or the new one, whole, at any
// moment and after a power cut too. A file that is executed cannot be written to
// (ETXTBSY, execve(2)); it can be replaced, and goes on running.
func place(path string, content []byte, mode fs.FileMode) (Did, error) {
	old, err := os.Lstat(path)
	did := Updated
	switch {
	case errors.Is(err, fs.ErrNotExist):
		did = Installed
	case err != nil:
		return "", err
	case old.IsDir():
		return "", fmt.Errorf("%s: is a directory; a file is to be there", path)
	case same(path, old, content, mode):
		return Unchanged, nil
	}
	// A symbolic link is replaced, as install(1) does it: what it leads to is
	// somebody else's, and may not be there in another mount namespace.
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, temporary(path)+"*")
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return did, syncDir(dir)
}

// temporary begins the names of files that are on their way to path. No runtime
// takes them for configurations: those end in .conf, .conflist or .json.
func temporary(path string) string { return "." + filepath.Base(path) + "." }

// sweep removes what an installer that was killed left on the way to path. The
// caller holds the lock, so none of these is another installer's.
func sweep(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // who needs the directory says so
	}
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), temporary(path))
		if ok && e.Type().IsRegular() && digits != "" && strings.Trim(digits, "0123456789") == "" {
			_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name())) // the next time, then
		}
	}
}

// same compares content and mode.
func same(path string, info fs.FileInfo, content []byte, mode fs.FileMode) bool {
	if info.Mode() != mode || info.Size() != int64(len(content)) { // Mode has the type too
		return false
	}
	there, err := os.ReadFile(path)
	return err == nil && bytes.Equal(there, content)
}

// makeDir makes a directory and what it lies in, where they are not there, and
// says whether it did.
func makeDir(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return false, fmt.Errorf("%s: is not a directory", path)
	case err == nil:
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	parent := filepath.Dir(path)
	if _, err := makeDir(parent); err != nil {
		return false, err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // another installer's
		return false, err
	}
	return true, syncDir(parent)
}

// syncDir puts a directory's entries onto the disk.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	// Not every file system can (EINVAL, fsync(2)); then there is nothing to wait for.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// patience is how long another installer may take.
const patience = 10 * time.Second

// lock keeps other installers away from a directory. It writes nothing, so that
// it works where there is nothing to write either.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); ; {
		err = unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { d.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
			continue
		}
		err = context.Cause(ctx)
		break
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("another install-cni is at work there; wait for it, or end it")
	}
	d.Close()
	return nil, fmt.Errorf("%s: %w", dir, err)
}
