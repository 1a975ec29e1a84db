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
	c, err := rtnl.Collect(ctx, k.asking.Names(), changed, again)
	if err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	w := &watcher{c, decoder{c.Names, k.owned}}
	return k.monitor.Run(ctx, []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR}, w.Handler(w.event))
}

// watcher is one Watch in progress.
type watcher struct {
	*rtnl.Collector[state.Event[state.Address]]
	decoder decoder
}

func (w *watcher) event(m rtnl.Message) {
	switch m.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		a, ok := w.decoder.decode(m.Data)
		switch {
		case !ok:
		case m.Type == unix.RTM_NEWADDR:
			w.Put(state.Event[state.Address]{Key: a.Key(), Object: a})
		default:
			w.Put(state.Event[state.Address]{Key: a.Key(), Gone: true})
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		w.Link(m, w.decoder.owned, true)
	}
}
