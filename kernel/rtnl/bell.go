package rtnl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Bell says whether a multicast group announced anything while it was listening,
// and not what. It is for dumps of which the kernel does not say that they were
// interrupted.
type Bell struct {
	fd, group int
	buf       []byte
}

// OpenBell opens a socket, on the calling thread, that can join the group (RTNLGRP_*).
func OpenBell(group int) (*Bell, error) {
	fd, _, err := open(unix.NETLINK_ROUTE, unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink bell: %w", err)
	}
	// One announcement is enough to know; that more were lost tells as much.
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, 0)
	return &Bell{fd: fd, group: group, buf: make([]byte, headerLen)}, nil
}

// Listen starts listening.
func (b *Bell) Listen() error {
	b.heard()
	if err := unix.SetsockoptInt(b.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, b.group); err != nil {
		return fmt.Errorf("rtnetlink bell: %w", err)
	}
	return nil
}

// Heard stops listening and says whether there was anything.
func (b *Bell) Heard() bool {
	_ = unix.SetsockoptInt(b.fd, unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, b.group)
	return b.heard()
}

// heard empties the receive buffer.
func (b *Bell) heard() (any bool) {
	for {
		_, _, err := receive(b.fd, b.buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EBADF) {
			return any
		}
		any = true
	}
}

// Close closes the socket.
func (b *Bell) Close() error { return unix.Close(b.fd) }
