package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockAddress is an abstract socket (unix(7)). Its names belong to the network
// namespace, as does all that plumb changes: two plumbs of one namespace meet
// there, whatever their state directories and mounts are.
const lockAddress = "@plumb/lock"

// Lock makes its caller the only one who changes this node's network, until
// unlock is called or the process ends, however it ends. Where another holds the
// lock, the error is a *LockedError that says who. who is what others are told.
func Lock(stateDir, who string) (unlock func(), err error) {
	file, err := lockFile(stateDir, who)
	var locked *LockedError
	if errors.As(err, &locked) {
		return nil, err
	}
	// Without the file (a disk that is read-only or full) the socket is enough.
	socket, err := lockSocket()
	if err != nil {
		closeAll(file)
		return nil, err
	}
	return func() { closeAll(file, socket) }, nil
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// lockFile locks a file of the state directory (flock(2)), which also keeps two
// namespaces from sharing the directory, and knows its holder's name.
func lockFile(stateDir, who string) (*os.File, error) {
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
	return f, nil
}

func lockSocket() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f := os.NewFile(uintptr(fd), lockAddress)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: lockAddress})
	if err == nil {
		err = unix.Listen(fd, 1) // so that another can ask who we are
	}
	if errors.Is(err, unix.EADDRINUSE) {
		closeAll(f)
		return nil, lockHolder()
	}
	if err != nil {
		closeAll(f)
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}

// lockHolder asks who holds the socket: root, or this user, counts; any other
// user may take any name, and must not be able to stop plumb by that. It gives nil
// where nobody who counts holds it.
func lockHolder() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: lockAddress}); err != nil {
		return &LockedError{Holder: "another plumb"} // it answers nobody: its queue is full
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return nil
	}
	return &LockedError{Holder: fmt.Sprintf("another plumb (process %d)", peer.Pid)}
}

// LockedError says who else is at work on this node.
type LockedError struct{ Holder string }

func (e *LockedError) Error() string {
	return e.Holder + " is at work on this node; edit the state file of an agent that runs, or stop it first"
}
