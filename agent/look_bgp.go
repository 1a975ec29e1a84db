package agent

import (
	"context"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/trace/facts"
)

// spoken is what the agent's BGP speaker knows, for a trace.
type spoken struct{ a *agent }

// Learned says which peer a route was learned from: the best path of its prefix.
func (s spoken) Learned(ctx context.Context, p netip.Prefix) *facts.Learned {
	sp := s.a.speaker.open.Load()
	if sp == nil {
		return nil
	}
	var out *facts.Learned
	var name string
	_ = sp.RIB(ctx, p, func(d bgp.Destination) {
		if d.Prefix != p || len(d.Paths) == 0 || !d.Paths[0].Peer.IsValid() {
			return
		}
		best := d.Paths[0]
		out = &facts.Learned{Address: best.Peer, ASPath: slices.Clone(best.ASPath), Stale: best.Stale}
	})
	if out == nil || s.a.loop.Ask(ctx, func(*reconcile.Engine) { name = s.a.sources.peerName(out.Address) }) != nil {
		return out
	}
	out.Peer = name
	return out
}

// Sessions gives the node's sessions.
func (s spoken) Sessions() []facts.Session {
	sp := s.a.speaker.open.Load()
	if sp == nil {
		return nil
	}
	var out []facts.Session
	for _, e := range sp.Sessions() {
		out = append(out, facts.Session{Name: e.Name, Address: e.Address, State: e.State, Error: e.LastError})
	}
	return out
}
