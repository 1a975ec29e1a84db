package host

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/state"
)

// Watch subscribes, returns, and from then on until ctx ends calls changed with
// the devices that are not as they were, whole and as they are now, sorted by
// name, and with the names that no device bears any more. The callbacks come
// from one goroutine. again says that messages were lost: Interfaces then gives
// the truth, and what changed is called with later starts from there.
//
// A device whose name changed is among changed with the new one, and the old is
// gone, unless another device has it. Changes of what state.Interface does not
// say, an address's lifetime for one, are not reported.
func (h *Host) Watch(ctx context.Context, changed func(now []state.Interface, gone []string), again func()) error {
	w := &watcher{}
	err := monitor.Watch(ctx, monitor.Listener{
		Start: func() error {
			t, err := h.read()
			w.reset(t)
			return err
		},
		Messages: func(msgs []monitor.Message) {
			if now, gone := w.take(msgs); len(now)+len(gone) > 0 {
				changed(now, gone)
			}
		},
		Lost: again,
	}, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("watching the host's interfaces: %w", err)
	}
	return nil
}

// watcher keeps the table as the messages say. One socket is in all groups, so
// that a device, its addresses and its end come in the kernel's order.
type watcher struct {
	now   table
	names map[string]int // the device that bears a name
}

func (w *watcher) reset(t table) {
	w.now = t
	w.names = make(map[string]int, len(t))
	for index, i := range t {
		w.names[i.Name] = index
	}
}

// take applies messages, and says what they changed. Its cost is that of the
// devices that they concern.
func (w *watcher) take(msgs []monitor.Message) (now []state.Interface, gone []string) {
	before := table{}       // what the devices concerned were
	named := map[int]bool{} // those that took a name, maybe one just said to be gone
	for _, m := range msgs {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			l, ok, err := monitor.DecodeLink(m.Data)
			if !ok || err != nil {
				continue
			}
			w.remember(before, l.Index)
			named[l.Index] = named[l.Index] || w.names[l.Name] != l.Index
			w.link(l, m.Header.Type == unix.RTM_DELLINK)
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			a, err := decodeAddress(m.Data)
			if err != nil || !a.prefix.IsValid() {
				continue
			}
			w.remember(before, a.index)
			if m.Header.Type == unix.RTM_NEWADDR {
				w.now.addAddress(a)
			} else {
				w.now.removeAddress(a)
			}
		}
	}
	for index, was := range before {
		is, there := w.now[index]
		if there && (named[index] || !equal(was, is)) {
			now = append(now, is)
		}
		if _, borne := w.names[was.Name]; was.Name != "" && !borne {
			gone = append(gone, was.Name)
		}
	}
	slices.SortFunc(now, byName)
	slices.Sort(gone)
	return now, gone
}

func (w *watcher) remember(before table, index int) {
	if _, done := before[index]; !done {
		before[index] = w.now[index]
	}
}

func (w *watcher) link(l monitor.Link, gone bool) {
	if old, known := w.now[l.Index]; known && w.names[old.Name] == l.Index {
		delete(w.names, old.Name)
	}
	if gone {
		delete(w.now, l.Index)
		return
	}
	w.names[l.Name] = l.Index
	w.now.setLink(l)
}

func equal(a, b state.Interface) bool {
	return a.Index == b.Index && a.Name == b.Name && a.Type == b.Type && a.Up == b.Up && a.Carrier == b.Carrier && a.MTU == b.MTU &&
		slices.Equal(a.Addresses, b.Addresses)
}
