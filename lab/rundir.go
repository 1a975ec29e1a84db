package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// DirVariable names the folder of labs' run directories, where it is set. It is
// set within a lab, where the user may have another uid than outside.
const DirVariable = "PLUMB_LAB_DIR"

// Dir is the run directory of a lab.
type Dir string

// RunDir is the run directory of the lab of this name.
func RunDir(name string) (Dir, error) {
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("lab name %q: give 1 to 15 lower-case letters, digits and dashes", name)
	}
	base := os.Getenv(DirVariable)
	switch xdg := os.Getenv("XDG_RUNTIME_DIR"); {
	case base != "":
	case os.Geteuid() == 0:
		base = "/run/plumb-lab"
	case xdg != "":
		base = filepath.Join(xdg, "plumb-lab")
	default:
		base = "/tmp/plumb-lab-" + strconv.Itoa(os.Geteuid())
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return "", fmt.Errorf("run directory: %w", err)
	}
	return Dir(filepath.Join(base, name)), nil
}

func (d Dir) file(name string) string { return filepath.Join(string(d), name) }
func (d Dir) lock() string            { return d.file("lock") }
func (d Dir) process() string         { return d.file("supervisor.json") }

// Name is the lab's name.
func (d Dir) Name() string { return filepath.Base(string(d)) }

// Control is the supervisor's socket.
func (d Dir) Control() string { return d.file("control.sock") }

// Topology is the topology that the lab was started with.
func (d Dir) Topology() string { return d.file("topology.yaml") }

// Log is what the supervisor logs to.
func (d Dir) Log() string { return d.file("supervisor.log") }

// StateFile is the desired-state file of all agents.
func (d Dir) StateFile() string { return d.file("plumb.yaml") }

// StateFileOf is the state file of a node's agent: its own where it has one.
func (d Dir) StateFileOf(node string) string {
	own := filepath.Join(d.NodeDir(node), "plumb.yaml")
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return d.StateFile()
}

// Host is the folder of a host that runs a daemon.
func (d Dir) Host(host string) string { return filepath.Join(d.file("hosts"), host) }

// NodeDir is a node's own folder.
func (d Dir) NodeDir(node string) string { return filepath.Join(d.file("nodes"), node) }

// StateDir is a node's --state-dir.
func (d Dir) StateDir(node string) string { return filepath.Join(d.NodeDir(node), "state") }

// Conflist is the conflist by which a node's pods are made.
func (d Dir) Conflist(node string) string { return filepath.Join(d.NodeDir(node), "10-plumb.conflist") }

// CNICache is where the results for a node's pods are kept until they are deleted.
func (d Dir) CNICache(node string) string { return filepath.Join(d.NodeDir(node), "cni") }

// Socket is a node's --socket.
func (d Dir) Socket(node string) string { return filepath.Join(d.NodeDir(node), "plumb.sock") }

// AgentLog is what a node's agent logs to.
func (d Dir) AgentLog(node string) string { return filepath.Join(d.NodeDir(node), "agent.log") }

// errLocked says that the supervisor of a lab lives.
var errLocked = errors.New("the lab is running")

// acquire takes the lock that a supervisor holds while it lives.
func (d Dir) acquire() (*os.File, error) {
	for {
		f, err := os.OpenFile(d.lock(), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, errLocked
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", d.lock(), err)
		}
		// It may have been removed between open and flock; then it locks nothing.
		held, err1 := f.Stat()
		there, err2 := os.Stat(d.lock())
		if err1 == nil && err2 == nil && os.SameFile(held, there) {
			return f, nil
		}
		f.Close()
		if errors.Is(err2, fs.ErrNotExist) {
			if _, err := os.Stat(string(d)); err != nil {
				return nil, fmt.Errorf("lock: %w", err)
			}
		}
	}
}

// socketMax is the length of a unix socket's path (sun_path) without its final zero.
const socketMax = 107

// create makes the directory, which nobody else may enter.
func (d Dir) create() error {
	if longest := d.Socket(strings.Repeat("n", 15)); len(longest) > socketMax {
		return fmt.Errorf("%s is too long for a socket's path; set %s to a shorter folder", d, DirVariable)
	}
	base := filepath.Dir(string(d))
	for _, path := range []string{base, string(d)} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return fmt.Errorf("run directory: %w", err)
		}
		// Under /tmp somebody else may have been there first.
		fi, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("run directory: %w", err)
		}
		owner, ok := fi.Sys().(*syscall.Stat_t)
		if !fi.IsDir() || !ok || int(owner.Uid) != os.Geteuid() || (path == string(d) && fi.Mode().Perm()&0o077 != 0) {
			return fmt.Errorf("run directory %s: is not a directory of yours alone; remove it, or set %s to another folder", path, DirVariable)
		}
	}
	return nil
}

// clear removes what an earlier lab left, except for the lock, which is held.
func (d Dir) clear() error {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	for _, e := range entries {
		if p := d.file(e.Name()); p != d.lock() {
			if err := os.RemoveAll(p); err != nil {
				return fmt.Errorf("run directory: %w", err)
			}
		}
	}
	return nil
}

// remove removes the directory, and the folder of labs where this was the last.
func (d Dir) remove() error {
	if err := os.RemoveAll(string(d)); err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	if base := filepath.Dir(string(d)); strings.HasPrefix(filepath.Base(base), "plumb-lab") {
		os.Remove(base) // it may hold other labs
	}
	return nil
}
