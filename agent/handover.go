package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/plumbnet/plumb/render"
)

// handoverStep is how long the other nodes get to follow, before routes go into a
// new tunnel, and again before an old one is closed.
const handoverStep = 1500 * time.Millisecond

// handover is a change of tunnels in progress. The nodes of a cluster do not see a
// changed file in the same instant; so each opens its new tunnels first, and goes on
// sending as before; then moves its routes; and then closes the old ones. At each
// moment it receives what any node sends that is a step behind or ahead.
type handover struct {
	earlier []render.Wanted            // the node's own
	remotes map[string][]render.Wanted // what led to the other nodes
	rule    render.NextHopRule         // where learned routes led
	learned bool                       // some learned route waits
	fresh   map[string]bool            // tunnel devices that come
	gone    map[string]bool            // tunnel devices that go
	holding bool                       // routes wait for the other nodes
	held    bool                       // some route does
	armed   bool                       // the time of the present step runs
	timer   int                        // the last one; an earlier one's end is stale
}

// beginHandover starts a handover where tunnels come or go. One in progress goes on;
// another change of them meanwhile starts its time anew.
func (s *sources) beginHandover(base []render.Wanted, now render.NextHopRule) {
	if s.after == nil || s.view == nil {
		return
	}
	h := s.handover
	if h == nil {
		h = &handover{earlier: s.base, remotes: make(map[string][]render.Wanted, len(s.remotes)), rule: s.view.Paths.Rule()}
	}
	fresh, gone := render.Tunnels(base, h.earlier), render.Tunnels(h.earlier, base)
	switch {
	case s.handover == nil && len(fresh)+len(gone) == 0:
		return
	case s.handover == nil:
		for name, r := range s.remotes {
			h.remotes[name] = r.wanted
		}
		s.handover = h
	case maps.Equal(fresh, h.fresh) && maps.Equal(gone, h.gone):
		return
	}
	h.fresh, h.gone, h.holding, h.armed = fresh, gone, true, false
	h.learned = s.bgp.learned.into(fresh, now)
	h.held = h.learned
}

func (h *handover) base(wanted []render.Wanted) []render.Wanted {
	if h == nil {
		return wanted
	}
	return render.Linger(h.earlier, wanted)
}

// remote gives what leads to another node in the present step; other says whether
// that is not what is wanted in the end.
func (h *handover) remote(name string, wanted []render.Wanted) (given []render.Wanted, other bool) {
	if h == nil {
		return wanted, false
	}
	if h.holding {
		var held bool
		wanted, held = render.Hold(h.remotes[name], wanted, h.fresh)
		h.held, other = h.held || held, held
		if h.learned && !held { // which would keep them too
			wanted, other = render.StillThrough(h.remotes[name], wanted, h.gone)
		}
	}
	if len(h.gone) > 0 {
		var more bool
		wanted, more = render.StillFrom(h.remotes[name], wanted)
		other = other || more
	}
	return wanted, other
}

// nextHops is where learned routes lead in the present step.
func (h *handover) nextHops(now render.NextHopRule) render.NextHopRule {
	if h == nil || !h.holding {
		return now
	}
	return render.HoldRule(h.rule, now, h.fresh)
}

// runHandover sees to it that the next step comes.
func (s *sources) runHandover() error {
	h := s.handover
	if h == nil || h.armed {
		return nil
	}
	h.holding = h.holding && h.held
	if !h.holding && len(h.gone) == 0 {
		return s.endHandover() // nothing waits
	}
	h.armed = true
	h.timer++
	mine := h.timer
	s.after(handoverStep, func() error {
		if s.handover != h || h.timer != mine || !h.armed {
			return nil
		}
		return s.stepHandover()
	})
	return nil
}

// stepHandover moves the held routes, or, when that is done, closes the old tunnels.
func (s *sources) stepHandover() error {
	h := s.handover
	if !h.holding {
		return s.endHandover()
	}
	h.holding, h.held, h.armed = false, false, false
	return errors.Join(s.setOthers(), s.renderLearned(), s.runHandover())
}

func (s *sources) endHandover() error {
	s.handover = nil
	return errors.Join(s.setBase(s.base), s.setOthers())
}

// setOthers gives the engine anew what leads to the nodes for which it was given
// something else for the time being.
func (s *sources) setOthers() error {
	var errs []error
	for name, r := range s.remotes {
		if r.other {
			errs = append(errs, s.setRemote(name, r))
		}
	}
	return errors.Join(errs...)
}

func (h *handover) pending() (Pending, bool) {
	if h == nil {
		return Pending{}, false
	}
	p := Pending{Kind: pendingTunnels, Endpoint: "tunnels", Reason: "old tunnels are closed when the other nodes have had time to follow"}
	if h.holding {
		p.Reason = fmt.Sprintf("routes move to %s when the other nodes have had time to follow",
			strings.Join(slices.Sorted(maps.Keys(h.fresh)), ", "))
	}
	return p, true
}
