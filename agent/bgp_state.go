package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// BGPState is what a running agent tells of BGP to who compares beside it.
type BGPState struct {
	// Settled says that what was learned is complete: no restart is in progress.
	Settled bool `json:"settled"`
	Drained bool `json:"drained,omitempty"`
	// Objects are configured now.
	Objects state.Snapshot `json:"objects"`
	Learned []LearnedRoute `json:"learned"`
}

// LearnedRoute is a prefix with its best paths.
type LearnedRoute struct {
	Prefix netip.Prefix  `json:"prefix"`
	Paths  []LearnedPath `json:"paths"`
}

// LearnedPath is one of several ways that are equally good.
type LearnedPath struct {
	NextHop netip.Addr `json:"nextHop"`
	Peer    netip.Addr `json:"peer"`
}

// bgpState gives the agent's, as of one moment.
func (a *agent) bgpState(ctx context.Context) (BGPState, error) {
	s := BGPState{Settled: a.settled.Load(), Objects: state.Snapshot{}, Learned: []LearnedRoute{}}
	var updates []bgp.Update
	err := a.loop.Ask(ctx, func(e *reconcile.Engine) {
		s.Drained = a.sources.bgp.drained
		for _, kind := range bgpKinds {
			for key, o := range e.Had(kind) {
				s.Objects[key] = o
			}
		}
		updates = a.sources.bgp.learned.updates()
	})
	for _, u := range updates {
		r := LearnedRoute{Prefix: u.Prefix}
		for _, p := range u.Paths {
			r.Paths = append(r.Paths, LearnedPath(p))
		}
		s.Learned = append(s.Learned, r)
	}
	return s, err
}

// BGPOf is the BGP of a snapshot, for who compares with that: what was configured
// then, and what the running agent has learned now, if one answers. Nil where the
// snapshot tells nothing of BGP.
func BGPOf(snapshot state.Snapshot, running *BGPState) *BGPState {
	s := BGPState{Objects: state.Snapshot{}}
	for key, o := range snapshot {
		if slices.Contains(bgpKinds, key.Kind) {
			s.Objects[key] = o
		}
	}
	if len(s.Objects) == 0 {
		return nil
	}
	if running != nil && !running.Drained {
		s.Settled, s.Learned = running.Settled, running.Learned
	}
	return &s
}

// takeBGP makes ready what is compared of BGP.
func (o *Once) takeBGP(ctx context.Context) error {
	if o.bgp == nil || !o.bgp.Settled || o.bgp.Drained {
		if o.bgp != nil || o.Loaded.File.BGP != nil {
			o.engine.Hold(holdLearned, isLearned)
		}
	}
	if o.bgp == nil {
		return nil
	}
	o.sources.bgp.on, o.sources.bgp.drained = true, o.bgp.Drained
	var err error
	if o.sources.bgp.routes, err = o.kernel.Others.Read(ctx); err != nil {
		return err
	}
	o.sources.bgp.passwords = passwordsBeside(o.Loaded, o.sources.node, o.state, o.bgp.Objects)
	return nil
}

// learn takes what the agent has learned.
func (o *Once) learn() error {
	if o.bgp == nil {
		return nil
	}
	updates := make([]bgp.Update, 0, len(o.bgp.Learned))
	for _, r := range o.bgp.Learned {
		u := bgp.Update{Prefix: r.Prefix}
		for _, p := range r.Paths {
			u.Paths = append(u.Paths, bgp.Path(p))
		}
		updates = append(updates, u)
	}
	o.sources.bgp.learned.holding = !o.bgp.Settled
	return o.sources.bgp.learned.take(updates)
}

// errNoBGP says that nothing of BGP can be asked.
var errNoBGP = errors.New("this node speaks no BGP: its state file has no bgp section, or it has not been started yet")
