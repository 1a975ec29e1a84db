package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/plumbnet/plumb/kernel/conntrack"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// residents say which device each endpoint address was last led to, so that it is
// seen when an address leaves, or comes up again on another device: in between its
// route may have vanished with the device, which alone moves nobody. It belongs to
// the loop's goroutine.
type residents struct {
	at    map[netip.Addr]string
	check map[netip.Addr]struct{} // to be looked at after the turn
}

func newResidents() *residents {
	return &residents{at: map[netip.Addr]string{}, check: map[netip.Addr]struct{}{}}
}

// endpointChanged takes the addresses of an endpoint that came or went. The route
// of one that came may be there already, of the CNI plugin's making.
func (r *residents) endpointChanged(e *endpointSource) {
	for _, a := range e.Addresses {
		r.check[a] = struct{}{}
	}
}

// turned gives the addresses that left, or moved, with this turn.
func (r *residents) turned(e *reconcile.Engine, t reconcile.Turned, table uint32) []netip.Addr {
	for _, d := range t.Done {
		if d.Object().Key().Kind != state.KindRoute {
			continue
		}
		if d.Before != nil && !d.Drift && isEndpointRoute(d.Before) {
			before := d.Before.(state.Route)
			if a := before.Dst.Addr(); r.at[a] == "" { // its endpoint went while no agent ran
				r.at[a] = before.Dev
			}
		}
		if isEndpointRoute(d.Object()) {
			r.check[d.Object().(state.Route).Dst.Addr()] = struct{}{}
		}
	}
	if t.Read {
		for _, o := range e.Standing(state.KindRoute) {
			if isEndpointRoute(o) {
				r.check[o.(state.Route).Dst.Addr()] = struct{}{}
			}
		}
	}
	var left []netip.Addr
	for a := range r.check {
		if r.look(e, a, table) {
			left = append(left, a)
		}
	}
	clear(r.check)
	return left
}

// look brings one address up to date, and says whether it left where it was.
func (r *residents) look(e *reconcile.Engine, a netip.Addr, table uint32) (left bool) {
	was := r.at[a]
	key := state.NewRoute(netip.PrefixFrom(a, a.BitLen()), table, state.ProtoPlumb, state.NextHop{Dev: was}).Key()
	want, have := e.At(key)
	switch {
	case have != nil && isEndpointRoute(have):
		now := have.(state.Route).Dev
		r.at[a] = now
		return was != "" && was != now
	case want == nil || !isEndpointRoute(want):
		delete(r.at, a)
		return was != ""
	}
	return false // its route is to come; then it is looked at again
}

// forgetter deletes the flows of addresses that left, beside the loop: to go
// through a large table takes a tenth of a second. What comes meanwhile is the
// next batch. The CNI plugin's DEL has done the same by then for its endpoint; to
// do it again costs one more look at the table for all that went together, and
// takes the flows that began while the endpoint went.
type forgetter struct {
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	pending []netip.Addr

	said bool // that the kernel cannot
}

func newForgetter(log *slog.Logger) *forgetter {
	return &forgetter{log: log, wake: make(chan struct{}, 1)}
}

// forget has the addresses' flows deleted. It does not wait.
func (f *forgetter) forget(addresses []netip.Addr) {
	if len(addresses) == 0 {
		return
	}
	f.mu.Lock()
	f.pending = append(f.pending, addresses...)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends.
func (f *forgetter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			f.batch()
		}
	}
}

// batchTimeout is far more than a dump takes.
const batchTimeout = 30 * time.Second

func (f *forgetter) batch() {
	f.mu.Lock()
	addresses := f.pending
	f.pending = nil
	f.mu.Unlock()
	if len(addresses) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	n, err := conntrack.Delete(ctx, addresses...)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		if !f.said {
			f.log.Warn("flows of addresses that leave cannot be deleted; the next to have one may inherit them", "err", err)
		}
		f.said = true
	case err != nil:
		f.log.Error("cannot delete the flows of addresses that left", "addresses", addresses, "err", err)
	default:
		f.log.Debug("flows of addresses that left are deleted", "addresses", addresses, "flows", n)
	}
}
