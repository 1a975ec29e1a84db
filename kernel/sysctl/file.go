package sysctl

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// root is where the kernel shows its parameters, those below net in the network
// namespace of the thread that opens the file (net_ctl_set_ownership and
// net_ctl_header_lookup, net/sysctl_net.c).
const root = "/proc/sys/"

// files reads and writes parameters. It calls the kernel without os.File, which
// would have each file stat'ed and handed to the poller: half the time. It is
// for one goroutine at a time, which shares its buffer.
type files struct{ buf [4096]byte }

// read gives a parameter's value without the line's end, with single spaces
// between several numbers. An error names the file; it wraps unix.ENOENT where
// the parameter, or the interface that it belongs to, does not exist.
func (r *files) read(path string) (string, error) {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return r.pread(fd, path)
}

func (r *files) pread(fd int, path string) (string, error) {
	n, err := unix.Pread(fd, r.buf[:], 0)
	if err != nil {
		return "", fmt.Errorf("%s%s: %w", root, path, err)
	}
	return canonical(r.buf[:n]), nil
}

// write sets a parameter and reads it back: some take a value and keep another.
func (r *files) write(path, value string) error {
	fd, err := open(path, unix.O_RDWR)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return r.pwrite(fd, path, value)
}

func (r *files) pwrite(fd int, path, value string) error {
	if _, err := unix.Pwrite(fd, []byte(value), 0); err != nil {
		return fmt.Errorf("%s%s: writing %q: %w", root, path, value, err)
	}
	got, err := r.pread(fd, path)
	if err == nil && got != value {
		err = fmt.Errorf("%s%s: wrote %q, reads %q", root, path, value, got)
	}
	return err
}

func open(path string, flags int) (int, error) {
	if !filepath.IsLocal(path) {
		return -1, fmt.Errorf("%s%s: not a path below %s", root, path, root)
	}
	fd, err := unix.Open(root+path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("%s%s: %w", root, path, err)
	}
	return fd, nil
}

// canonical is a value as plumb compares it. The kernel separates several
// numbers by tabs and ends the line.
func canonical(b []byte) string {
	b = bytes.TrimSpace(b)
	if bytes.IndexByte(b, '\t') < 0 {
		return string(b)
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

// Ensure sets the parameter at path (below /proc/sys, such as
// net/ipv4/conf/eth0/proxy_arp) in the network namespace of the calling thread
// where it has another value, and reads it back. An error names the file, and
// wraps unix.ENOENT where there is none.
//
// Many parameters of a device are right when it comes into being, and to write
// some (forwarding, disable_ipv6) a process tries again and again for as long as
// another has the lock of the network devices (restart_syscall,
// net/ipv4/devinet.c): two hundred that wire pods at once then hardly get on.
func Ensure(path, value string) error {
	r := new(files)
	fd, err := open(path, unix.O_RDWR)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if got, err := r.pread(fd, path); err != nil || got == value {
		return err
	}
	return r.pwrite(fd, path, value)
}
