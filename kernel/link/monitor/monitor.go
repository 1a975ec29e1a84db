// Package monitor listens to rtnetlink's multicast groups, as `ip monitor`
// does, and does not lose track: after an overflow, or with a new subscription in
// place of one that broke, the listener is told that it missed something.
package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// receiveBuffer holds the messages of some thousand link changes: a node that
// starts two hundred pods at once. The kernel counts only what is queued.
const receiveBuffer = 8 << 20

// maxBatch bounds how much is read before the listener hears of it.
const maxBatch = 256

// Message is one netlink message: its type (unix.RTM_…) and what follows the
// header. Data belongs to whoever receives it.
type Message = syscall.NetlinkMessage

// Listener is who hears of messages. Its functions are called one at a time.
type Listener struct {
	// Start reads what there is, after the subscription: the first messages may
	// repeat what it saw, but no later change is missing from them. It is called
	// anew after messages were lost. Optional.
	Start func() error
	// Messages gets what the kernel sent, in order, all that is waiting at once.
	Messages func([]Message)
	// Lost is called after messages were lost, when nothing is missed any more and
	// Start has been called.
	Lost func()
}

// Watch subscribes to groups (unix.RTNLGRP_…) in the network namespace of the
// calling thread, calls l.Start and returns; the error says why nothing is
// watched. From then on, until ctx ends, a goroutine of its own calls l.
func Watch(ctx context.Context, l Listener, groups ...uint) error {
	s, err := start(l, groups)
	if err != nil {
		return err
	}
	go func() {
		for {
			// Receiving ends only with an error. After ENOBUFS the same socket goes
			// on, for with it would go the kernel's count of what it dropped.
			err := s.receiveUntil(ctx, l.Messages)
			if !errors.Is(err, unix.ENOBUFS) || s.drain() != nil || l.start() != nil {
				s.file.Close()
				if s = restart(ctx, l, groups); s == nil {
					return
				}
			}
			l.Lost()
		}
	}()
	return nil
}

func start(l Listener, groups []uint) (*subscription, error) {
	s, err := subscribe(groups)
	if err == nil {
		if err = l.start(); err != nil {
			s.file.Close()
		}
	}
	return s, err
}

func (l Listener) start() error {
	if l.Start == nil {
		return nil
	}
	return l.Start()
}

// restart tries until there is a subscription, or gives nil where ctx ends.
func restart(ctx context.Context, l Listener, groups []uint) *subscription {
	for pause := 10 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, time.Second) {
		if s, err := start(l, groups); err == nil {
			return s
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// subscription is a netlink socket in some multicast groups. As an os.File it
// is read through the runtime's poller, so that closing it ends a read.
type subscription struct {
	file *os.File
	buf  []byte
}

func subscribe(groups []uint) (*subscription, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink socket: %w", err)
	}
	// Beyond rmem_max only with CAP_NET_ADMIN; without it, what is allowed.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("rtnetlink socket: %w", err)
	}
	for _, g := range groups {
		// By option rather than by the address's bit mask, which ends at group 32.
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g)); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("rtnetlink group %d: %w", g, err)
		}
	}
	return &subscription{file: os.NewFile(uintptr(fd), "rtnetlink"), buf: make([]byte, 64<<10)}, nil
}

// receiveUntil hands over messages until the socket fails, or ctx ends, which
// closes it.
func (s *subscription) receiveUntil(ctx context.Context, messages func([]Message)) error {
	stop := context.AfterFunc(ctx, func() { s.file.Close() })
	defer stop()
	for {
		batch, err := s.receive()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(batch) > 0 {
			messages(batch)
		}
		if err != nil {
			return err
		}
	}
}

// drain takes what is queued: until the queue was empty once, an overflown socket
// silently drops what comes (netlink_overrun and netlink_rcv_wake,
// net/netlink/af_netlink.c). So it ends, too.
func (s *subscription) drain() error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			_, _, err := unix.Recvfrom(int(fd), s.buf, unix.MSG_DONTWAIT)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return
			case err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS):
				failed = err
				return
			}
		}
	})
	return errors.Join(failed, err)
}

// receive waits for a message and then takes what else is there. Messages may
// come along with an error: they were received before it.
func (s *subscription) receive() ([]Message, error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var batch []Message
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for len(batch) < maxBatch {
			more, err := s.receiveOne(int(fd))
			switch {
			case errors.Is(err, unix.EAGAIN):
				return len(batch) > 0
			case err != nil:
				failed = err
				return true
			}
			batch = append(batch, more...)
		}
		return true
	})
	return batch, errors.Join(failed, err)
}

// receiveOne takes one datagram, which holds one message or more; none where it
// is not the kernel's own (any process may send to a netlink port).
func (s *subscription) receiveOne(fd int) ([]Message, error) {
	for {
		n, _, flags, from, err := unix.Recvmsg(fd, s.buf, nil, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if flags&unix.MSG_TRUNC != 0 {
			return nil, fmt.Errorf("rtnetlink: a message above %d bytes: %w", len(s.buf), unix.EMSGSIZE)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue
		}
		b := make([]byte, n) // the messages point into it
		copy(b, s.buf)
		return syscall.ParseNetlinkMessage(b)
	}
}
