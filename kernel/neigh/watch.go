package neigh

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Watch reports what others, and the kernel when a device goes, do to the entries
// on owned devices: a permanent one comes as it is, one that is deleted or no
// longer permanent as gone. Entries that the kernel learns come as gone too: their
// keys need not be plumb's. What this value's Apply does is dropped in the kernel.
func (k *Kind) Watch(ctx context.Context, changed func([]state.Event[state.Neigh]), again func()) error {
	w := &watcher{
		ctx: ctx, changed: changed, again: again,
		decoder: decoder{names: k.asking.Names(), owned: k.owned},
	}
	if err := w.decoder.names.Load(ctx); err != nil {
		return fmt.Errorf("watch neighbours: %w", err)
	}
	return k.monitor.Run(ctx, []int{unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH},
		rtnl.Handler{Event: w.event, Pause: w.pause, Lost: w.lost})
}

// watcher is one Watch in progress; all of it runs on the monitor's goroutine.
type watcher struct {
	ctx     context.Context
	decoder decoder
	changed func([]state.Event[state.Neigh])
	again   func()

	events []state.Event[state.Neigh]
	reread bool
}

// pause hands over what was collected.
func (w *watcher) pause() {
	if len(w.events) > 0 {
		w.changed(w.events)
		w.events = nil // the receiver may keep them
	}
	if w.reread {
		w.reread = false
		w.again()
	}
}

func (w *watcher) lost() {
	w.decoder.names.Forget()
	_ = w.decoder.names.Load(w.ctx) // without it, names are asked for one by one
	w.reread = true
	w.pause()
}

func (w *watcher) event(m rtnl.Message) {
	switch m.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		n, permanent, ok := w.decoder.decode(m.Data)
		switch {
		case !ok:
		case m.Type == unix.RTM_NEWNEIGH && permanent:
			w.events = append(w.events, state.Event[state.Neigh]{Key: n.Key(), Object: n})
		default:
			w.events = append(w.events, state.Event[state.Neigh]{Key: n.Key(), Gone: true})
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		w.link(m)
	}
}

// link follows the names of devices: a renamed one may have become owned, or not
// be any more. The entries of a deleted one were reported as deleted before.
func (w *watcher) link(m rtnl.Message) {
	index, name, ok := rtnl.LinkName(m)
	if !ok {
		return
	}
	names := w.decoder.names
	if m.Type == unix.RTM_DELLINK {
		names.Drop(index)
		return
	}
	if known, had := names.Known(index); had && known != name {
		w.reread = w.reread || w.decoder.owned(known) || w.decoder.owned(name)
	}
	names.Set(index, name)
}
