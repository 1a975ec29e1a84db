package agent

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A file that is being rewritten in place is left alone until its writer closes
// it, for every part of it that ends at a line may be a valid state of less. A
// writer that holds it open for longer than this is not waited for.
const (
	longestWrite = 5 * time.Second
	writePoll    = 2 * time.Millisecond
)

// awaitWriters waits until nobody has the state file open for writing.
func (r *reloader) awaitWriters() {
	for waited := time.Duration(0); waited < longestWrite && beingWritten(r.path); waited += writePoll {
		r.sleep(writePoll)
	}
}

// beingWritten says whether a process has the file, or a file of the directory,
// open for writing.
func beingWritten(path string) bool {
	files, _ := filepath.Glob(filepath.Join(path, "*.yaml"))
	for _, f := range append(files, path) {
		if openForWriting(f) {
			return true
		}
	}
	return false
}

// openForWriting asks the kernel, which refuses a read lease with EAGAIN where the
// file is open for writing (fcntl(2), F_SETLEASE). Where leases cannot be had, a
// writer cannot be seen.
func openForWriting(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN)
}
