package nft

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// Watch subscribes, returns, and from then on until ctx ends, or the Kind is
// closed, calls again from a goroutine of its own when others changed something
// in the table, or events were lost. changed is never called: an element event
// would do for it, but most others say too little. Changes in other tables only
// carry the cache forward. There can be one Watch at a time.
func (k *Kind) Watch(ctx context.Context, _ func([]state.Event[state.Object]), again func()) error {
	if !k.watching.CompareAndSwap(false, true) {
		return errors.New("nftables: watched already")
	}
	w := &watcher{ctx: ctx, sock: k.events, tracker: k.tracker, own: k.sock.conn.PID(), notify: again}
	if err := w.start(); err != nil {
		k.watching.Store(false)
		return fmt.Errorf("nftables: watch: %w", err)
	}
	k.tracker.setWatching(true)
	k.watcher.Store(w)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = k.events.conn.SetReadDeadline(time.Unix(1, 0))
		close(stopped)
	})
	go func() {
		w.run()
		k.watcher.Store(nil)
		k.tracker.setWatching(false)
		if !stop() {
			<-stopped // or it would end the next Watch
		}
		k.watching.Store(false)
	}()
	return nil
}

// watcher reads the events of nf_tables. A transaction's events end with
// NFT_MSG_NEWGEN, which has the new generation, and each carries the port of the
// socket that caused it (net/netfilter/nf_tables_api.c, nf_tables_gen_notify).
type watcher struct {
	ctx     context.Context
	sock    *socket
	tracker *tracker
	own     uint32 // the port of plumb's own transactions
	notify  func()
	calling sync.Mutex // held while notify runs
	member  sync.Mutex // held by who decides about the subscription
	ended   bool
	touched bool // since the last NEWGEN: the table was changed
	told    bool // and again was called for it
	unsure  bool // events since the last NEWGEN are missing
}

func (w *watcher) start() error {
	// Plumb's own events are dropped before they are queued: a set of 100,000
	// elements is 200,000 messages. The filter sees words in network order.
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 4}, // nlmsg_pid
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: bigFromNative(w.own), SkipTrue: 1},
		bpf.RetConstant{Val: 1<<31 - 1},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	if err := w.sock.conn.SetBPF(filter); err != nil {
		return err
	}
	if err := w.sock.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return w.subscribe(true)
}

func (w *watcher) subscribe(on bool) error {
	if on {
		return w.sock.conn.JoinGroup(unix.NFNLGRP_NFTABLES)
	}
	return w.sock.conn.LeaveGroup(unix.NFNLGRP_NFTABLES)
}

func (w *watcher) again() {
	w.calling.Lock()
	defer w.calling.Unlock()
	if w.ctx.Err() == nil {
		w.notify()
	}
}

// silence ends the subscription for the time of a large transaction: while
// anybody listens, the kernel makes a message of every element (nf_tables_api.c,
// nf_tables_setelem_notify), which takes many times as long as the transaction
// itself (BenchmarkLoad, without this). Listeners count wherever they are: the
// kernel does not look at network namespaces here (netlink_has_listeners). The caller has to compare generations after resume, and to say missed
// where there are more than its own.
func (w *watcher) silence() (resume func()) {
	w.member.Lock()
	if w.ended || w.subscribe(false) != nil {
		return w.member.Unlock
	}
	return func() {
		defer w.member.Unlock()
		if w.subscribe(true) != nil {
			w.missed()
		}
	}
}

// missed says that events were, or may have been, lost. It is for other
// goroutines than the watcher's own.
func (w *watcher) missed() {
	w.tracker.lost()
	go w.again() // who calls Apply may be the one who takes in what again says
}

// run returns when the read deadline has passed or the socket is closed.
func (w *watcher) run() {
	for {
		in, err := w.receive()
		switch {
		case w.ctx.Err() != nil || errors.Is(err, errStopped):
			w.member.Lock()
			w.ended = true
			_ = w.subscribe(false) // fails where the socket is closed
			w.member.Unlock()
			w.drain()
			return
		case err != nil:
			// ENOBUFS is told ahead of what is queued, so it is not known where
			// in it something is missing: forget it all, and do not trust the
			// generation whose end comes next.
			w.drain()
			w.tracker.lost()
			w.unsure = true
			w.again()
			if !errors.Is(err, unix.ENOBUFS) {
				time.Sleep(settle) // nothing known; do not spin on it
			}
		default:
			w.take(in)
		}
	}
}

var errStopped = errors.New("stopped")

// receive waits for a datagram. Before it does, it tells what has no NEWGEN
// (a table that vanishes with its owner).
func (w *watcher) receive() ([]byte, error) {
	var n int
	var err error
	first := true
	e := w.sock.raw.Read(func(fd uintptr) bool {
		n, err = recv(fd, w.sock.buf)
		if first && errors.Is(err, unix.EAGAIN) && w.touched && !w.told {
			w.told = true
			w.tracker.touch()
			w.again()
		}
		first = false
		return !errors.Is(err, unix.EAGAIN)
	})
	if e != nil {
		return nil, errStopped
	}
	return w.sock.buf[:max(n, 0)], err
}

func (w *watcher) drain() {
	for {
		_, err := w.sock.receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

func (w *watcher) take(in []byte) {
	for len(in) > 0 {
		m, rest, err := nextMessage(in)
		if err != nil {
			w.touched, w.told = true, false
			return
		}
		in = rest
		msg, family, b, ok := m.nft()
		if !ok || m.pid == w.own {
			continue
		}
		as, err := parseAttrs(b)
		if msg != unix.NFT_MSG_NEWGEN {
			// In all of them attribute 1 is the table's name.
			if err != nil || family == unix.NFPROTO_INET && as.str(unix.NFTA_TABLE_NAME) == tableName {
				w.touched, w.told = true, false
			}
			continue
		}
		w.tracker.others(as.u32(unix.NFTA_GEN_ID), w.touched || w.unsure)
		if w.touched && !w.told {
			w.again()
		}
		w.touched, w.told, w.unsure = false, false, false
	}
}

// bigFromNative is the number that reads as n when its bytes are swapped on a
// little-endian machine.
func bigFromNative(n uint32) uint32 {
	b := native32(n)
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
