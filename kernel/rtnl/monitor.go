package rtnl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// monitorBuffer holds a burst of more than 100,000 events.
const monitorBuffer = 32 << 20

// Handler is what a monitor calls, from one goroutine of its own.
type Handler struct {
	Event func(Message) // one event; the message is valid during the call
	Pause func()        // all that had happened was given, or a good deal of it
	Lost  func()        // events were lost (ENOBUFS); those that follow are whole again
}

// Monitor receives the kernel's announcements (rtnetlink's multicast groups).
type Monitor struct {
	file *os.File
	conn syscall.RawConn

	mu     sync.Mutex
	done   chan struct{} // of the Run in progress, closed when it has ended
	closed bool
}

// OpenMonitor opens a socket on the calling thread. It hears nothing until Run.
// Events that requests of the given sockets cause are dropped in the kernel.
func OpenMonitor(own ...*Socket) (*Monitor, error) {
	fd, _, err := open(unix.NETLINK_ROUTE, unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink monitor: %w", err)
	}
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, monitorBuffer)
	if len(own) > 0 {
		if err := ignore(fd, own); err != nil {
			_ = unix.Close(fd)
			return nil, fmt.Errorf("rtnetlink monitor: filter: %w", err)
		}
	}
	// os.File because its poller can wake a reader: for the end of a context
	m := &Monitor{file: os.NewFile(uintptr(fd), "rtnetlink")}
	if m.conn, err = m.file.SyscallConn(); err != nil {
		_ = m.file.Close()
		return nil, fmt.Errorf("rtnetlink monitor: %w", err)
	}
	return m, nil
}

// ignore attaches a filter that drops what own caused: the kernel puts the port
// id of the requester into the event's nlmsg_pid.
func ignore(fd int, own []*Socket) error {
	prog := []bpf.Instruction{bpf.LoadAbsolute{Off: 12, Size: 4}}
	for _, s := range own {
		var b [4]byte // the filter reads in network byte order what the kernel wrote in its own
		native.PutUint32(b[:], s.port)
		v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipTrue: 1}, bpf.RetConstant{Val: 0})
	}
	prog = append(prog, bpf.RetConstant{Val: 1<<32 - 1})
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
}

// Run joins the groups (RTNLGRP_*), returns, and from then on calls h until ctx
// ends. It may be called again after that.
func (m *Monitor) Run(ctx context.Context, groups []int, h Handler) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return os.ErrClosed
	case m.done != nil && !isClosed(m.done):
		return errors.New("rtnetlink monitor: runs already")
	}
	if err := m.file.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("rtnetlink monitor: %w", err)
	}
	buf := make([]byte, 64<<10)
	m.discard(buf)
	if err := m.membership(unix.NETLINK_ADD_MEMBERSHIP, groups); err != nil {
		_ = m.membership(unix.NETLINK_DROP_MEMBERSHIP, groups)
		return fmt.Errorf("rtnetlink monitor: join: %w", err)
	}
	done := make(chan struct{})
	m.done = done
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = m.file.SetReadDeadline(time.Unix(1, 0))
		close(woken)
	})
	go func() {
		defer close(done)
		m.loop(ctx, buf, h)
		_ = m.membership(unix.NETLINK_DROP_MEMBERSHIP, groups)
		if !stop() {
			<-woken // or its deadline would end the next Run
		}
	}()
	return nil
}

// Wait returns when no Run is in progress any more.
func (m *Monitor) Wait() {
	m.mu.Lock()
	done := m.done
	m.mu.Unlock()
	if done != nil {
		<-done
	}
}

// SetReceiveBuffer gives the receive buffer another size: a small one overflows
// sooner, a large one takes that much of the kernel's memory in a burst.
func (m *Monitor) SetReceiveBuffer(bytes int) {
	_ = m.conn.Control(func(fd uintptr) { setBuffer(int(fd), unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, bytes) })
}

// Close ends a Run that is in progress, waits for its goroutine, and closes the
// socket. It must not be called from the handler.
func (m *Monitor) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	err := m.file.Close()
	if m.done != nil {
		<-m.done
	}
	return err
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (m *Monitor) membership(option int, groups []int) (err error) {
	cerr := m.conn.Control(func(fd uintptr) {
		for _, g := range groups {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, option, g); err != nil {
				return
			}
		}
	})
	return errors.Join(cerr, err)
}

// discard drops what an earlier Run left unread.
func (m *Monitor) discard(buf []byte) {
	_ = m.conn.Control(func(fd uintptr) {
		for {
			if _, _, err := receive(int(fd), buf, unix.MSG_DONTWAIT); errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EBADF) {
				return
			}
		}
	})
}

// pauseAfter bounds how many datagrams are given before a Pause.
const pauseAfter = 4096

func (m *Monitor) loop(ctx context.Context, buf []byte, h Handler) {
	given := 0
	for ctx.Err() == nil {
		var b []byte
		var kernel bool
		var rerr error
		err := m.conn.Read(func(fd uintptr) bool {
			b, kernel, rerr = receive(int(fd), buf, unix.MSG_DONTWAIT)
			// while events wait for their Pause the reader must not sleep
			return !errors.Is(rerr, unix.EAGAIN) || given > 0
		})
		switch {
		case err != nil:
			return // the deadline that ctx set, or Close
		case errors.Is(rerr, unix.EAGAIN):
			h.Pause()
			given = 0
		case errors.Is(rerr, unix.EINTR):
		case rerr != nil: // ENOBUFS, a datagram that does not fit, or what else may have cost events
			h.Lost()
			if !errors.Is(rerr, unix.ENOBUFS) && !errors.Is(rerr, ErrTruncated) { // never spin on an error that stays
				time.Sleep(100 * time.Millisecond)
			}
		case kernel:
			if !events(b, h.Event) {
				h.Lost()
			}
			if given++; given == pauseAfter {
				h.Pause()
				given = 0
			}
		}
	}
}

// events gives the messages of a datagram; false where it is malformed.
func events(b []byte, each func(Message)) bool {
	for len(b) > 0 {
		m, rest, ok := NextMessage(b)
		if !ok {
			return false
		}
		each(m)
		b = rest
	}
	return true
}
