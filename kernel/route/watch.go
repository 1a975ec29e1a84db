package route

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Watch reports what others do to plumb's routes:
//
//   - a route with plumb's protocol comes as the kernel has it now, or as gone;
//   - a foreign route that took the place of one, or came into a slot where there
//     was one already, makes the slot's key gone, and so does a foreign route that
//     was deleted: it may have been in the way. The key need not be one of plumb's;
//   - the routes of a device that went down or was deleted are gone;
//   - again is called where it is not clear which routes went: with an address, with
//     a device that had many, with a device's old name, with lost events.
//
// An event that says gone too often does no harm: the addition that follows finds
// the route there. What this value's Apply does is dropped in the kernel.
func (k *Kind) Watch(ctx context.Context, changed func([]state.Event[state.Route]), again func()) error {
	w := &watcher{k: k, ctx: ctx, decoder: newDecoder(k.asking.Names()), changed: changed, again: again}
	if err := w.decoder.names.Load(ctx); err != nil {
		return fmt.Errorf("watch routes: %w", err)
	}
	return k.monitor.Run(ctx, []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	}, rtnl.Handler{Event: w.event, Pause: w.pause, Lost: w.lost})
}

// watcher is one Watch in progress; all of it runs on the monitor's goroutine.
type watcher struct {
	k       *Kind
	ctx     context.Context
	decoder *decoder
	changed func([]state.Event[state.Route])
	again   func()

	events []state.Event[state.Route]
	reread bool
	route  state.Route // decoded last
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
	w.decoder.forget()
	_ = w.decoder.names.Load(w.ctx) // without it, names are asked for one by one
	w.reread = true
	w.pause()
}

func (w *watcher) event(m rtnl.Message) {
	switch m.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		w.routeEvent(m)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		w.linkEvent(m)
	case unix.RTM_DELADDR:
		w.addressGone(m.Data)
	}
}

func (w *watcher) gone(s slot) {
	w.events = append(w.events, state.Event[state.Route]{Key: s.key(), Gone: true})
}

func (w *watcher) routeEvent(m rtnl.Message) {
	h, _, ok := readHeader(m.Data)
	if !ok {
		w.reread = true
		return
	}
	mine := ours(h.protocol)
	// A new route for which the kernel keeps NLM_F_EXCL has its slot for itself: the
	// usual case, and no matter of plumb's (fib_table_insert, fib6_add_rt2node).
	if !mine && (h.tos != 0 || m.Type == unix.RTM_NEWROUTE && m.Flags&unix.NLM_F_EXCL != 0) {
		return
	}
	if !w.decoder.decode(m.Data, &w.route) {
		// a route on a device that is no more: its own event says so
		if mine && m.Type == unix.RTM_DELROUTE {
			w.reread = true
		}
		return
	}
	if !slices.Contains(*w.k.tables.Load(), w.route.Table) {
		return
	}
	switch {
	case !mine:
		w.gone(slotOf(&w.route))
	case m.Type == unix.RTM_DELROUTE:
		w.k.places.remove(&w.route)
		w.gone(slotOf(&w.route))
	default:
		w.k.places.add(&w.route)
		if m.Flags&(unix.NLM_F_REPLACE|unix.NLM_F_EXCL) == 0 {
			// It may have come beside one that is there (append, prepend): which of
			// them is first, the event does not say.
			w.reread = true
			return
		}
		w.events = append(w.events, state.Event[state.Route]{Key: w.route.Key(), Object: w.route})
	}
}

// linkEvent looks for the ends of devices and of their names. A device that comes,
// or comes up, is no event: routes do not come with it.
func (w *watcher) linkEvent(m rtnl.Message) {
	index, name, ok := rtnl.LinkName(m)
	if !ok {
		return
	}
	flags, change := binary.NativeEndian.Uint32(m.Data[8:]), binary.NativeEndian.Uint32(m.Data[12:])
	known, had := w.decoder.names.Known(index)
	switch {
	case m.Type == unix.RTM_DELLINK:
		w.deviceLost(name)
		w.decoder.names.Drop(index)
		clear(w.decoder.sets)
		return
	case had && known != name:
		clear(w.decoder.sets)
		w.reread = w.reread || w.k.places.uses(known) || w.k.places.uses(name)
	case change != allChanged && change&unix.IFF_UP != 0 && flags&unix.IFF_UP == 0:
		w.deviceLost(name)
	}
	w.decoder.names.Set(index, name)
}

// allChanged is ifi_change of a device that is new (rtmsg_ifinfo with ~0U).
const allChanged = 1<<32 - 1

func (w *watcher) deviceLost(name string) {
	gone, more := w.k.places.lost(name)
	for _, s := range gone {
		w.gone(s)
	}
	w.reread = w.reread || more
}

// addressGone: with its last IPv4 address a device loses its IPv4 routes
// (fib_del_ifaddr), with any address every route that has it as its source.
func (w *watcher) addressGone(b []byte) {
	if len(b) < unix.SizeofIfAddrmsg {
		w.reread = true
		return
	}
	if w.k.places.sources() {
		w.reread = true
		return
	}
	if b[0] != unix.AF_INET {
		return
	}
	name, ok := w.decoder.names.Name(int32(binary.NativeEndian.Uint32(b[4:])))
	w.reread = w.reread || !ok || w.k.places.uses(name)
}
