package neigh

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Watch reports what becomes of the entries of owned devices. Changes that Apply
// makes are reported like those of others: the kernel does not say who made them
// (vxlan_fdb_notify gives no port id); an event carries the entry as it is, so that
// to whoever knows what Apply wrote it is no news. A deleted device takes its
// entries along without a word; then again is called.
func (k *FDB) Watch(ctx context.Context, changed func([]state.Event[state.FDB]), again func()) error {
	c, err := rtnl.Collect(ctx, k.asking.Names(), changed, again)
	if err != nil {
		return fmt.Errorf("watch forwarding entries: %w", err)
	}
	w := &watcherFDB{c, k.owned}
	return k.monitor.Run(ctx, []int{unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH}, w.Handler(w.event))
}

// watcherFDB is one Watch in progress.
type watcherFDB struct {
	*rtnl.Collector[state.Event[state.FDB]]
	owned func(dev string) bool
}

func (w *watcherFDB) event(m rtnl.Message) {
	switch m.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		w.entry(m)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		w.Link(m, w.owned, true)
	}
}

func (w *watcherFDB) entry(m rtnl.Message) {
	index, e, ok := decodeFDB(m.Data)
	if !ok {
		return
	}
	if e.Dev, ok = w.Names.Name(index); !ok || !w.owned(e.Dev) {
		return
	}
	whole := e.Dst.IsValid() || strings.Contains(e.Odd, nhid)
	switch {
	case m.Type == unix.RTM_NEWNEIGH && whole:
		w.Put(state.Event[state.FDB]{Key: e.Key(), Object: e})
	case m.Type == unix.RTM_DELNEIGH && e.Several() && !whole:
		w.Reread()
	case m.Type == unix.RTM_DELNEIGH:
		w.Put(state.Event[state.FDB]{Key: e.Key(), Gone: true})
	}
	// Up to Linux 6.14 each change is announced twice, by the device and once more, without
	// where the entry leads, by rtnetlink itself (rtnl_fdb_notify, net/core/rtnetlink.c).
}
