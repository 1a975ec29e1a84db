package rtnl

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// replies to a full batch of failing requests fit into this
	receiveBuffer = 8 << 20
	// netlink_sendmsg refuses datagrams larger than the send buffer
	sendBuffer = 1 << 20
	// longer than the kernel is ever busy with one datagram; then something is wrong
	answerTimeout = 30
)

// Socket is a netlink socket, to rtnetlink or nfnetlink, in the network namespace of the thread that
// opened it. It serves one goroutine at a time.
type Socket struct {
	name string // of its family, for errors
	fd   int
	port uint32
	seq  uint32
	in   []byte // what the kernel sends
	out  Encoder
}

// Open opens a socket on the calling thread.
func Open() (*Socket, error) { return openSocket(unix.NETLINK_ROUTE, "rtnetlink") }

// OpenNetfilter opens a socket to nfnetlink, which takes datagrams of many
// requests and gives dumps as rtnetlink does; it is no place for nf_tables, which
// wants transactions. Where the kernel has no nfnetlink it gives EPROTONOSUPPORT.
func OpenNetfilter() (*Socket, error) { return openSocket(unix.NETLINK_NETFILTER, "nfnetlink") }

func openSocket(family int, name string) (*Socket, error) {
	fd, port, err := open(family, 0)
	if err != nil {
		return nil, fmt.Errorf("%s socket: %w", name, err)
	}
	s := &Socket{name: name, fd: fd, port: port, in: make([]byte, 64<<10)}
	for _, opt := range [...]int{unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK, unix.NETLINK_GET_STRICT_CHK} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, opt, 1); err != nil {
			_ = unix.Close(fd)
			return nil, fmt.Errorf("%s socket: option %d: %w", name, opt, err)
		}
	}
	// Best effort all three: smaller buffers mean smaller batches and lost replies,
	// which callers cope with; without the timeout a silent kernel would block.
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer)
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerTimeout})
	return s, nil
}

func open(family, flags int) (fd int, port uint32, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, family)
	if err != nil {
		return -1, 0, err
	}
	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err == nil {
		var sa unix.Sockaddr
		if sa, err = unix.Getsockname(fd); err == nil {
			return fd, sa.(*unix.SockaddrNetlink).Pid, nil
		}
	}
	_ = unix.Close(fd)
	return -1, 0, err
}

// setBuffer sizes a buffer beyond the system's limit where that is allowed
// (CAP_NET_ADMIN, socket(7)), and up to the limit where it is not.
func setBuffer(fd, force, plain, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
	}
}

// Port is the socket's port id: what the kernel puts as nlmsg_pid into the events
// that this socket's requests cause.
func (s *Socket) Port() uint32 { return s.port }

// Close closes the socket.
func (s *Socket) Close() error { return unix.Close(s.fd) }

func (s *Socket) send(b []byte) error {
	for {
		err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive reads one datagram into the socket's buffer. ErrLost stands for ENOBUFS.
func (s *Socket) receive(flags int) ([]byte, error) {
	for {
		b, kernel, err := receive(s.fd, s.in, flags)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOBUFS):
			return nil, ErrLost
		case err != nil && !errors.Is(err, ErrTruncated):
			return nil, err
		case kernel: // others may send to us too; they are no concern
			return b, err
		}
	}
}

// receive is recvfrom(2) without allocations: golang.org/x/sys/unix makes a
// Sockaddr of every sender. kernel says whether the datagram is the kernel's.
func receive(fd int, buf []byte, flags int) (b []byte, kernel bool, err error) {
	var from unix.RawSockaddrNetlink
	size := uint32(unsafe.Sizeof(from))
	// MSG_TRUNC asks for the real length, even where the buffer is shorter
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)),
		uintptr(flags|unix.MSG_TRUNC), uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return nil, false, errno
	}
	if int(n) > len(buf) {
		return buf, from.Pid == 0, ErrTruncated
	}
	return buf[:n], from.Pid == 0, nil
}

// SetReceiveBuffer gives the receive buffer another size. A small one holds fewer
// replies: then more are lost.
func (s *Socket) SetReceiveBuffer(bytes int) {
	setBuffer(s.fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, bytes)
}
