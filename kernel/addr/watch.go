package addr

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Watch reports what becomes of the addresses of owned devices. Changes that Apply
// makes are reported like those of others: addresses are few. A device that went or
// was renamed has the kind read again.
func (k *Kind) Watch(ctx context.Context, changed func([]state.Event[state.Address]), again func()) error {
	w := &watcher{decoder: decoder{k.asking.Names(), k.owned}, ctx: ctx, changed: changed, again: again}
	if err := w.decoder.names.Load(ctx); err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	return k.monitor.Run(ctx, []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR},
		rtnl.Handler{Event: w.event, Pause: w.pause, Lost: w.lost})
}

// watcher is one Watch in progress; all of it runs on the monitor's goroutine.
type watcher struct {
	decoder decoder
	ctx     context.Context
	changed func([]state.Event[state.Address])
	again   func()

	events []state.Event[state.Address]
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
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		a, ok := w.decoder.decode(m.Data)
		switch {
		case !ok:
		case m.Type == unix.RTM_NEWADDR:
			w.events = append(w.events, state.Event[state.Address]{Key: a.Key(), Object: a})
		default:
			w.events = append(w.events, state.Event[state.Address]{Key: a.Key(), Gone: true})
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		w.link(m)
	}
}

func (w *watcher) link(m rtnl.Message) {
	index, name, ok := rtnl.LinkName(m)
	if !ok {
		return
	}
	names := w.decoder.names
	known, had := names.Known(index)
	if m.Type == unix.RTM_DELLINK {
		w.reread = w.reread || w.decoder.owned(name) || w.decoder.owned(known)
		names.Drop(index)
		return
	}
	if had && known != name {
		w.reread = w.reread || w.decoder.owned(known) || w.decoder.owned(name)
	}
	names.Set(index, name)
}
