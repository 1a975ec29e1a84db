package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
)

func openTest(t *testing.T) *Socket {
	t.Helper()
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// blackhole writes a route that needs no device: 192.0.2.n.
func blackhole(e *Encoder, n int) {
	e.Bytes(unix.AF_INET, 32, 0, 0, unix.RT_TABLE_MAIN, 200, 0, unix.RTN_BLACKHOLE, 0, 0, 0, 0)
	e.AttrAddr(unix.RTA_DST, netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}))
}

func routes(t *testing.T, s *Socket) (n int) {
	t.Helper()
	err := s.Dump(context.Background(), unix.RTM_GETROUTE, func(e *Encoder) {
		e.Bytes(unix.AF_INET, 0, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0)
		e.AttrUint32(unix.RTA_TABLE, unix.RT_TABLE_MAIN)
	}, func(Message) error { n++; return nil })
	if err != nil && !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	return n
}

func TestBatchTellsWhichFailed(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		s := openTest(t)
		const n = 10_000 // several system calls
		for round := range 2 {
			var failed []int
			b := s.Batch()
			b.Failed = func(id int, err error) {
				if !errors.Is(err, unix.EEXIST) {
					t.Errorf("%d: %v", id, err)
				}
				failed = append(failed, id)
			}
			for i := range n {
				blackhole(b.Message(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, i), i-i%10*round)
			}
			b.Flush()
			if got := len(failed); got != round*n {
				t.Errorf("round %d: %d failed", round, got)
			}
			if !slices.IsSorted(failed) {
				t.Error("out of order")
			}
		}
		if got := routes(t, s); got != n {
			t.Errorf("%d routes", got)
		}
	})
}

func TestBatchSaysWhatWasLost(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		s := openTest(t)
		s.SetReceiveBuffer(4096)
		lost, failed := 0, 0
		b := s.Batch()
		b.Failed = func(int, error) { failed++ }
		b.Lost = func(int) { lost++ }
		for i := range 1000 {
			blackhole(b.Message(unix.RTM_DELROUTE, 0, i), i) // none is there
		}
		b.Flush()
		if lost != 1000 || failed == 0 || failed == 1000 {
			t.Errorf("%d lost, %d failed", lost, failed)
		}
		if got := routes(t, s); got != 0 { // and the socket can be used again
			t.Error(got)
		}
	})
}

func TestDumpStopsWhereItIsTold(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		s := openTest(t)
		b := s.Batch()
		for i := range 5000 {
			blackhole(b.Message(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, i), i)
		}
		b.Flush()
		stop := errors.New("stop")
		ctx, cancel := context.WithCancel(context.Background())
		for _, c := range []struct {
			ctx  context.Context
			each func(Message) error
			want error
		}{
			{context.Background(), func(Message) error { return stop }, stop},
			{ctx, func(Message) error { cancel(); return nil }, context.Canceled},
		} {
			err := s.Dump(c.ctx, unix.RTM_GETROUTE, func(e *Encoder) { e.Bytes(unix.AF_INET, 0, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0) }, c.each)
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if got := routes(t, s); got != 5000 { // the kernel's dump was read to its end
				t.Errorf("then %d routes", got)
			}
		}
		err := s.Dump(context.Background(), unix.RTM_GETROUTE, func(e *Encoder) { e.Bytes(99) }, func(Message) error { return nil })
		var e *Error
		if !errors.As(err, &e) || e.Text == "" {
			t.Errorf("a request that the kernel refuses: %v", err)
		}
	})
}

func TestNames(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add a0 type veth peer name a1")
		n := openTest(t).Names()
		index, err := n.Index("a0")
		if err != nil {
			t.Fatal(err)
		}
		name, ok := n.Name(index)
		if !ok || name != "a0" {
			t.Fatal(name, ok)
		}
		if allocs := testing.AllocsPerRun(100, func() { _, _ = n.Name(index) }); allocs != 0 {
			t.Errorf("%.0f allocations", allocs)
		}
		nstest.Sh(t, "ip link set a0 name b0; ip link add c0 type veth peer name c1")
		n.Forget()
		if name, _ = n.Name(index); name != "b0" {
			t.Error("renamed, and still", name)
		}
		fresh := openTest(t).Names()
		if err := fresh.Load(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"lo", "b0", "a1", "c0", "c1"} {
			i, err := n.Index(want)
			if err != nil {
				t.Fatal(want, err)
			}
			if got, ok := fresh.Known(i); !ok || got != want {
				t.Errorf("%s is known as %q", want, got)
			}
		}
		for _, none := range []string{"", "nosuch", "a0", "a-name-that-is-much-too-long", "no/such"} {
			if _, err := n.Index(none); !errors.Is(err, unix.ENODEV) {
				t.Errorf("%q: %v", none, err)
			}
		}
		for _, none := range []int32{0, -1, 9999} {
			if name, ok := n.Name(none); ok {
				t.Error(none, name)
			}
		}
	})
}

func TestMonitorDropsOwnWrites(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		own, own2, other := openTest(t), openTest(t), openTest(t)
		m, err := OpenMonitor(own, own2)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		ports, pauses := map[uint32]int{}, 0
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		err = m.Run(ctx, []int{unix.RTNLGRP_IPV4_ROUTE}, Handler{
			Event: func(m Message) { mu.Lock(); ports[m.Port]++; mu.Unlock() },
			Pause: func() { mu.Lock(); pauses++; mu.Unlock() },
			Lost:  func() { t.Error("lost") },
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range []*Socket{own, own2, other} {
			b := s.Batch()
			for j := range 10_000 {
				blackhole(b.Message(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, 0), i*10_000+j)
			}
			b.Flush()
		}
		for range 12_000 { // a minute: the machine may be busy
			mu.Lock()
			done := ports[other.Port()] == 10_000 && pauses > 0
			mu.Unlock()
			if done {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if len(ports) != 1 || ports[other.Port()] != 10_000 || pauses == 0 {
			t.Errorf("events by port: %v (own %d, %d; other %d), %d pauses", ports, own.Port(), own2.Port(), other.Port(), pauses)
		}
		if err := m.Run(ctx, nil, Handler{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// What a datagram that another process sends looks like is no concern: only the
// kernel is listened to.
func TestOthersAreNotListenedTo(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		s, liar := openTest(t), openTest(t)
		var e Encoder
		e.Begin(unix.NLMSG_ERROR, 0, 1)
		e.Bytes(255, 255, 255, 255)
		e.Bytes(make([]byte, headerLen)...)
		e.End()
		err := unix.Sendto(liar.fd, e.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: s.Port()})
		if err != nil {
			t.Fatal(err)
		}
		b := s.Batch()
		b.Failed = func(_ int, err error) { t.Errorf("believed: %v", err) }
		blackhole(b.Message(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0), 1)
		b.Flush()
		if got := routes(t, s); got != 1 {
			t.Error(got)
		}
	})
}

func TestErrorsRead(t *testing.T) {
	e := fmt.Errorf("route: %w", &Error{Errno: unix.ENETDOWN, Text: "Nexthop device is not up"})
	if !errors.Is(e, unix.ENETDOWN) || !strings.HasSuffix(e.Error(), "network is down: Nexthop device is not up") {
		t.Error(e)
	}
}
