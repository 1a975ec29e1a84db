package bench

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// counter counts the host routes within 10.0.0.0/8 by the kernel's own events. What it
// takes is taken from those who are measured, on the same processors: so it never waits
// in the kernel, which would have to wake it for every event, but looks from time to
// time, and takes some hundred events in one system call, each cut off behind the
// destination.
type counter struct {
	fd       int
	n        int
	messages [256]mmsghdr
	events   [256][eventBytes]byte
	parts    [256]unix.Iovec
}

// mmsghdr is a message of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

const (
	// eventBytes reaches to the end of RTA_DST: struct nlmsghdr, struct rtmsg, and, as
	// fib_dump_info (net/ipv4/fib_semantics.c) writes them, RTA_TABLE and RTA_DST.
	eventBytes = unix.SizeofNlMsghdr + unix.SizeofRtMsg + 8 + 8
	// countEvery is how often the counter looks, which is as exact as it is.
	countEvery = 500 * time.Microsecond
)

func countRoutes(b *testing.B) *counter {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	must(b, err)
	b.Cleanup(func() { _ = unix.Close(fd) })
	must(b, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20))
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: unix.SizeofNlMsghdr + 1, Size: 1}, // rtm_dst_len
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 32, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: eventBytes},
	})
	must(b, err)
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	must(b, unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}))
	must(b, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_IPV4_ROUTE}))
	c := &counter{fd: fd}
	for i := range c.messages {
		c.parts[i].Base = &c.events[i][0]
		c.parts[i].SetLen(eventBytes)
		c.messages[i].header.Iov = &c.parts[i]
		c.messages[i].header.SetIovlen(1)
	}
	return c
}

func (c *counter) until(b *testing.B, want int) {
	b.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(countEvery) {
		c.look(b)
		if c.n == want {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("%d routes, not %d", c.n, want)
		}
	}
}

// look takes the events that there are.
func (c *counter) look(b *testing.B) {
	b.Helper()
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&c.messages[0])), uintptr(len(c.messages)), unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			if !errors.Is(errno, unix.EAGAIN) && !errors.Is(errno, unix.EINTR) {
				b.Fatalf("events: %v", errno) // ENOBUFS: some were lost
			}
			return
		}
		for i := range n {
			c.event(c.events[i][:c.messages[i].length])
		}
		if int(n) < len(c.messages) {
			return
		}
	}
}

func (c *counter) event(e []byte) {
	const dst = eventBytes - 8
	if len(e) < eventBytes || binary.NativeEndian.Uint16(e[dst+2:]) != unix.RTA_DST || e[dst+4] != 10 {
		return
	}
	switch typ, flags := binary.NativeEndian.Uint16(e[4:]), binary.NativeEndian.Uint16(e[6:]); {
	case typ == unix.RTM_NEWROUTE && flags&unix.NLM_F_REPLACE == 0:
		c.n++
	case typ == unix.RTM_DELROUTE:
		c.n--
	}
}
