package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// bgpSources is what sources keep for BGP.
type bgpSources struct {
	on        bool // BGP is rendered: there is a speaker, or one to compare with
	drained   bool // all is withdrawn, for maintenance
	passwords map[string]render.Password
	warnings  []render.Warning
	speaker   state.BGPSpeaker  // that is wanted; without an ASN, none is
	names     map[string]string // of peers, by address or prefix
	routes    []state.Route     // of the host, not plumb's
	learned   *learned
	nextHops  *nextHops
	tell      func(*render.Learned) // to the speaker; nil where there is none beside
	linkLost  func(state.Interface) // nil: nobody has sessions
}

var bgpSource = reconcile.Source{Rank: rankNode, ID: "bgp"}

// speaks says whether this node has sessions now.
func (s *sources) speaks() bool {
	return s.bgp.on && !s.bgp.drained && s.file != nil && s.file.BGP != nil
}

// renderBGP renders sessions and prefixes, and what is learned by them.
func (s *sources) renderBGP() error {
	if !s.bgp.on || s.file == nil {
		return nil
	}
	var wanted []render.Wanted
	s.bgp.warnings = nil
	if s.speaks() {
		var err error
		if wanted, s.bgp.warnings, err = render.BGP(s.file, s.node, s.bgp.passwords); err != nil {
			return err
		}
	}
	s.bgp.names = map[string]string{}
	if !s.bgp.drained {
		s.bgp.speaker = state.BGPSpeaker{}
	}
	for _, w := range wanted {
		switch o := w.Object.(type) {
		case state.BGPPeer:
			s.bgp.names[o.Key().ID] = o.Name
		case state.BGPSpeaker:
			s.bgp.speaker = o
		}
	}
	return errors.Join(s.engine.SetSource(bgpSource, wanted), s.renderLearned())
}

// allWarnings are those of the node and of BGP.
func (s *sources) allWarnings() []render.Warning { return slices.Concat(s.warnings, s.bgp.warnings) }

// renderLearned renders what was learned with the file and the host's routes as they
// are now. Where all is withdrawn for maintenance, it stays as it is.
func (s *sources) renderLearned() error {
	switch {
	case !s.bgp.on || s.file == nil || s.bgp.drained:
		return nil
	case s.file.BGP == nil:
		return s.bgp.learned.configure(nil, nil)
	}
	routes := render.NewHostRoutes(s.bgp.routes, s.host)
	l := render.NewLearned(s.file, routes, s.nextHopRule())
	if s.bgp.tell != nil {
		s.bgp.tell(l)
	}
	return s.bgp.learned.configure(l, s.peerName)
}

// nextHopRule is where tunnels come in: what it says of a next hop has precedence
// over the host's routes.
func (s *sources) nextHopRule() render.NextHopRule {
	if s.view == nil {
		return nil
	}
	return s.handover.nextHops(s.view.Paths.Rule())
}

// peerName is the name of a session's peer, with its address where it is one of many.
func (s *sources) peerName(a netip.Addr) string {
	if name, ok := s.bgp.names[a.String()]; ok {
		return name
	}
	for id, name := range s.bgp.names {
		if p, err := netip.ParsePrefix(id); err == nil && p.Contains(a) {
			return name + " " + a.String()
		}
	}
	return a.String()
}

// endpointPrefixes are what is announced for an endpoint that is wired.
func (s *sources) endpointPrefixes(e *endpointSource) []render.Wanted {
	if !s.speaks() || e.pending != "" {
		return nil
	}
	return render.EndpointPrefixes(s.file, s.node, e.Endpoint, e.origin)
}

// renderEndpoints renders all endpoints again.
func (s *sources) renderEndpoints() error {
	var errs []error
	for _, e := range s.endpoints {
		errs = append(errs, s.renderEndpoint(e))
	}
	return errors.Join(errs...)
}

// withoutBGP ends the hold on learned routes where the file has no BGP: nobody will
// learn them again.
func (a *agent) withoutBGP(e *reconcile.Engine, f *desired.File) {
	if f.BGP == nil {
		e.Release(holdLearned)
	}
}

// closeBGP leaves the sessions to their peers, which keep the routes until the next
// agent is there (RFC 4724).
func (a *agent) closeBGP() {
	if sp := a.speaker.open.Load(); sp != nil {
		sp.Close()
	}
}

// startBGP puts the speaker beside the kernel's kinds. It is opened when the engine
// has the first object of BGP to make.
func (a *agent) startBGP(ctx context.Context, k *Kernel) {
	a.speaker = &speaker{
		options: func() bgp.Options {
			holding := false
			for _, o := range a.sources.engine.Had(state.KindRoute) {
				if holding = isLearned(o); holding {
					break
				}
			}
			a.sources.bgp.learned.holding = holding
			a.openPasswords()
			// A node that has learned nothing has announced something all the same.
			restarting := holding || bgp.Spoke(a.StateDir)
			return bgp.Options{Log: a.Log, Passwords: a.passwords, StateDir: a.StateDir, Restarting: restarting}
		},
		opened: func(sp *bgp.Speaker) {
			now := time.Now()
			a.bgpSince.Store(&now)
			if l := a.sources.bgp.learned.render; l != nil {
				a.tellNextHops(ctx, k, l)
			}
			a.pumps.Go(func() { a.pump(ctx, k, sp) })
		},
	}
	k.With(a.speaker.kind())
}

// tellNextHops has the speaker know which next hops lead somewhere.
func (a *agent) tellNextHops(ctx context.Context, k *Kernel, l *render.Learned) {
	sp := a.speaker.open.Load()
	if sp == nil {
		return
	}
	// What one asks about that nobody has asked about before may be in routes that did
	// not count so far.
	a.sources.bgp.nextHops = newNextHops(l, func() {
		a.loop.Do(func(*reconcile.Engine) {
			if a.staleRoutes {
				a.readHostRoutes(ctx, k)
			}
		})
	})
	a.note(sp.SetNextHops(a.sources.bgp.nextHops))
}

// pump carries what the speaker learns into the loop. It waits until the loop has
// taken a batch: what comes meanwhile is the next.
func (a *agent) pump(ctx context.Context, k *Kernel, sp *bgp.Speaker) {
	many := newBurst()
	for {
		b, err := sp.Next(ctx)
		if err != nil {
			return
		}
		many.came(len(b.Updates))
		if a.loop.Ask(ctx, func(e *reconcile.Engine) {
			if a.sources.bgp.drained {
				return
			}
			if a.staleRoutes && len(b.Updates) > 0 {
				a.readHostRoutes(ctx, k)
			}
			a.note(a.sources.bgp.learned.take(b.Updates))
			if b.Settled && !a.settled.Load() {
				a.settled.Store(true)
				a.note(a.sources.bgp.learned.settle())
				e.Release(holdLearned)
			}
		}) != nil {
			return
		}
	}
}

// bgpPending says what BGP waits for, and which sessions a change that is not made yet
// will end.
func (a *agent) bgpPending(e *reconcile.Engine) []Pending {
	out := pendingResets(e)
	if a.sources.bgp.learned.holding && a.sources.speaks() {
		out = append(out, Pending{
			Kind: pendingRestart, Endpoint: "learned routes", Origin: a.sources.file.BGP.Pos.String(),
			Reason: "those of before the restart stay until every peer has sent its routes, or had the restart time for it",
		})
	}
	return out
}

func pendingResets(e *reconcile.Engine) []Pending {
	var out []Pending
	for _, kind := range []state.Kind{state.KindBGP, state.KindBGPPeer} {
		for key, have := range e.Had(kind) {
			want, _ := e.At(key)
			if want == nil {
				continue
			}
			s := reconcile.Step{Change: state.Change[state.Object]{Action: state.Modify, Before: have, After: want}}
			if resets := s.Resets(); resets != "" {
				out = append(out, Pending{Kind: pendingReset, Endpoint: key.String(), Origin: e.Origin(key), Reason: resets})
			}
		}
	}
	return out
}

// holdLearned is the hold on the learned routes of an earlier run.
const holdLearned = "learned routes"

// readHostRoutes has the loop resolve next hops by the host's routes as they are now.
func (a *agent) readHostRoutes(ctx context.Context, k *Kernel) {
	routes, err := k.Others.Read(ctx)
	if err != nil {
		a.Log.Warn("cannot read the host's routes; next hops are resolved by what they were", "err", err)
		return
	}
	a.sources.bgp.routes, a.staleRoutes = routes, false
	a.note(a.sources.renderLearned())
}

// watchHostRoutes follows the routes by which next hops are reached.
func (a *agent) watchHostRoutes(ctx context.Context, k *Kernel) error {
	if err := k.Others.Watch(ctx, func(prefixes []netip.Prefix) {
		a.loop.Do(func(*reconcile.Engine) {
			a.staleRoutes = true
			if a.sources.bgp.learned.concerns(prefixes) || a.sources.bgp.nextHops.concern(prefixes) {
				a.readHostRoutes(ctx, k)
			}
		})
	}, func() {
		a.loop.Do(func(*reconcile.Engine) {
			a.staleRoutes = true
			if a.sources.speaks() {
				a.readHostRoutes(ctx, k)
			}
		})
	}); err != nil {
		return err
	}
	routes, err := k.Others.Read(ctx)
	a.sources.bgp.routes = routes
	return err
}

// bgpReady says whether every session is up, or was, or had its time.
func (a *agent) bgpReady(ctx context.Context) (bool, string) {
	if a.bgpWasReady.Load() {
		return true, ""
	}
	var restartTime time.Duration
	if err := a.loop.Ask(ctx, func(*reconcile.Engine) {
		if f := a.sources.file; f != nil && f.BGP != nil && !a.DryRun {
			restartTime = f.BGP.GracefulRestart.RestartTime
		}
	}); err != nil {
		return false, "the loop does not turn"
	}
	sp, since := a.speaker.open.Load(), a.bgpSince.Load()
	switch {
	case restartTime == 0:
		return true, "" // no BGP
	case sp == nil || since == nil:
		return false, "BGP is not started yet"
	}
	var down []string
	for _, s := range sp.Sessions() {
		if s.State != bgp.Established {
			down = append(down, s.Name)
		}
	}
	if left := restartTime - time.Since(*since); len(down) > 0 && left > 0 {
		return false, fmt.Sprintf("BGP sessions are not up yet: %s; ready in %s at the latest", strings.Join(slices.Compact(down), ", "), left.Round(time.Second))
	}
	a.bgpWasReady.Store(true)
	return true, ""
}
