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
	c, err := rtnl.Collect(ctx, k.asking.Names(), changed, again)
	if err != nil {
		return fmt.Errorf("watch neighbours: %w", err)
	}
	w := &watcher{c, decoder{names: c.Names, owned: k.owned}}
	return k.monitor.Run(ctx, []int{unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH}, w.Handler(w.event))
}

// watcher is one Watch in progress.
type watcher struct {
	*rtnl.Collector[state.Event[state.Neigh]]
	decoder decoder
}

func (w *watcher) event(m rtnl.Message) {
	switch m.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		n, permanent, ok := w.decoder.decode(m.Data)
		switch {
		case !ok:
		case m.Type == unix.RTM_NEWNEIGH && permanent:
			w.Put(state.Event[state.Neigh]{Key: n.Key(), Object: n})
		default:
			w.Put(state.Event[state.Neigh]{Key: n.Key(), Gone: true})
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		// The entries of a deleted device were reported as deleted before.
		w.Link(m, w.decoder.owned, false)
	}
}
