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
	w := &watcherFDB{k: k, ctx: ctx, names: k.asking.Names(), changed: changed, again: again}
	if err := w.names.Load(ctx); err != nil {
		return fmt.Errorf("watch forwarding entries: %w", err)
	}
	return k.monitor.Run(ctx, []int{unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH},
		rtnl.Handler{Event: w.event, Pause: w.pause, Lost: w.lost})
}

// watcherFDB is one Watch in progress; all of it runs on the monitor's goroutine.
type watcherFDB struct {
	k       *FDB
	ctx     context.Context
	names   *rtnl.Names
	changed func([]state.Event[state.FDB])
	again   func()

	events []state.Event[state.FDB]
	reread bool
}

// pause hands over what was collected.
func (w *watcherFDB) pause() {
	if len(w.events) > 0 {
		w.changed(w.events)
		w.events = nil // the receiver may keep them
	}
	if w.reread {
		w.reread = false
		w.again()
	}
}

func (w *watcherFDB) lost() {
	w.names.Forget()
	_ = w.names.Load(w.ctx) // without it, names are asked for one by one
	w.reread = true
	w.pause()
}

func (w *watcherFDB) event(m rtnl.Message) {
	switch m.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		w.entry(m)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		w.link(m)
	}
}

func (w *watcherFDB) entry(m rtnl.Message) {
	index, e, ok := decodeFDB(m.Data)
	if !ok {
		return
	}
	if e.Dev, ok = w.names.Name(index); !ok || !w.k.owned(e.Dev) {
		return
	}
	whole := e.Dst.IsValid() || strings.Contains(e.Odd, nhid)
	switch {
	case m.Type == unix.RTM_NEWNEIGH && whole:
		w.events = append(w.events, state.Event[state.FDB]{Key: e.Key(), Object: e})
	case m.Type == unix.RTM_DELNEIGH && e.Several() && !whole:
		w.reread = true
	case m.Type == unix.RTM_DELNEIGH:
		w.events = append(w.events, state.Event[state.FDB]{Key: e.Key(), Gone: true})
	}
	// Up to Linux 6.14 each change is announced twice, by the device and once more, without
	// where the entry leads, by rtnetlink itself (rtnl_fdb_notify, net/core/rtnetlink.c).
}

// link follows the names of devices.
func (w *watcherFDB) link(m rtnl.Message) {
	index, name, ok := rtnl.LinkName(m)
	if !ok {
		return
	}
	known, had := w.names.Known(index)
	if m.Type == unix.RTM_DELLINK {
		w.reread = w.reread || w.k.owned(name) || w.k.owned(known)
		w.names.Drop(index)
		return
	}
	if had && known != name {
		w.reread = w.reread || w.k.owned(known) || w.k.owned(name)
	}
	w.names.Set(index, name)
}
