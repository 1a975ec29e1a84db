package bgp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// record is a file that stands while there are sessions, and stays when the process
// ends without ending them: the next speaker has restarted, as its peers see it. What
// the kernel has of learned routes does not tell: there may be none.
type record struct {
	path string // empty: nowhere
	here string

	mu      sync.Mutex
	written bool
}

const recordName = "bgp-sessions"

// Spoke says whether the last speaker with this state directory left sessions to their
// peers, in this network namespace and since the machine was booted: after a reboot,
// or in another namespace, nothing is forwarded of what they keep.
func Spoke(stateDir string) bool {
	here, err := whereabouts()
	if err != nil {
		return false
	}
	b, err := os.ReadFile(filepath.Join(stateDir, recordName))
	return err == nil && string(b) == here
}

// whereabouts names this boot and this network namespace.
func whereabouts() (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	// Unlike the inode of /proc/self/ns/net, it is given to one namespace only (socket(7);
	// Linux 5.14).
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return "", fmt.Errorf("cookie of the network namespace: %w", err)
	}
	return fmt.Sprintf("%s %d\n", strings.TrimSpace(string(boot)), cookie), nil
}

func newRecord(stateDir string) (*record, error) {
	if stateDir == "" {
		return &record{}, nil
	}
	here, err := whereabouts()
	if err != nil {
		return &record{}, err
	}
	return &record{path: filepath.Join(stateDir, recordName), here: here}, nil
}

// write notes that there is a session.
func (r *record) write() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path == "" || r.written {
		return nil
	}
	r.written = true // said once, where it cannot be
	next := r.path + ".new"
	return errors.Join(os.WriteFile(next, []byte(r.here), 0o600), os.Rename(next, r.path))
}

// remove notes that all sessions were ended: nobody keeps routes of this node.
func (r *record) remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = false
	if r.path == "" {
		return nil
	}
	if err := os.Remove(r.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
