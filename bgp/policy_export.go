package bgp

import (
	"net/netip"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

// exporter writes the statements of a group of sessions that are treated alike.
type exporter struct {
	*compiler
	*config
	peer       state.BGPPeer // any of the group
	who        *api.MatchSet
	generation int
	// bearing is a mark: the statements are for the routes that bear it alone. Empty:
	// for all.
	bearing string
}

// export writes a group's statements, the last of which rejects what is left.
func (c *compiler) export(cfg *config, group []state.BGPPeer, generation int, bearing string) {
	e := &exporter{
		compiler: c, config: cfg, peer: group[0], who: c.neighbours(remotes(group)),
		generation: generation, bearing: bearing,
	}
	chain, err := cfg.chain(e.peer.Export)
	if err != nil {
		c.err = err
		return
	}
	e.nextHops()
	if len(chain) == 0 {
		e.originated()
	} else {
		for _, f := range chain {
			for _, r := range f.rules {
				e.filterRule(r)
			}
		}
		if chain[len(chain)-1].Accept {
			e.add(e.conditions(), unmark(api.RouteAction_ACCEPT))
		}
	}
	e.add(e.conditions(), &api.Actions{RouteAction: api.RouteAction_REJECT})
}

func (e *exporter) add(cond *api.Conditions, a *api.Actions) {
	cond.NeighborSet = e.who
	e.exports = append(e.exports, &api.Statement{Name: e.name(), Conditions: cond, Actions: a})
}

func (e *exporter) marks(more ...string) []string {
	if e.bearing != "" {
		more = append(more, e.bearing)
	}
	return more
}

// conditions has the marks alone.
func (e *exporter) conditions(marks ...string) *api.Conditions {
	return &api.Conditions{CommunitySet: e.communities(api.DefinedType_COMMUNITY, e.marks(marks...)...)}
}

// originated is the policy without filters: what this node originates, and what it
// reflects.
func (e *exporter) originated() {
	cond := e.conditions()
	cond.RouteType = api.Conditions_ROUTE_TYPE_LOCAL
	e.add(cond, unmark(api.RouteAction_ACCEPT))
	if e.peer.Reflect {
		cond := e.conditions()
		cond.RouteType = api.Conditions_ROUTE_TYPE_INTERNAL
		e.add(cond, unmark(api.RouteAction_ACCEPT))
	}
}

// nextHops puts this node's address in where GoBGP would put one of the wrong
// family, or none: it knows the session's own address only. What was originated
// with a next hop of its own keeps it.
func (e *exporter) nextHops() {
	session4 := remote(e.peer).Addr().Is4()
	for _, family := range []struct {
		is4  bool
		api  *api.Family
		self netip.Addr
	}{{true, familyIPv4, e.peer.NextHop4}, {false, familyIPv6, e.peer.NextHop6}} {
		a := &api.Actions{Nexthop: &api.NexthopAction{Self: true}}
		if family.is4 != session4 {
			if !family.self.IsValid() {
				continue
			}
			a.Nexthop = &api.NexthopAction{Address: family.self.String()}
			cond := e.conditions(mark(e.generation, markNoHop))
			cond.RouteType, cond.AfiSafiIn = api.Conditions_ROUTE_TYPE_LOCAL, []*api.Family{family.api}
			e.add(cond, a)
		} else if !e.peer.NextHopSelf || e.external(e.peer) {
			continue // GoBGP does it
		}
		if e.peer.NextHopSelf || e.external(e.peer) {
			for _, t := range []api.Conditions_RouteType{api.Conditions_ROUTE_TYPE_INTERNAL, api.Conditions_ROUTE_TYPE_EXTERNAL} {
				cond := e.conditions()
				cond.RouteType, cond.AfiSafiIn = t, []*api.Family{family.api}
				e.add(cond, a)
			}
		}
	}
}

func (e *exporter) filterRule(r state.BGPRule) {
	marks := e.marks()
	if key := (origin{r.ASPath, r.Source}); !key.isZero() {
		marks = append(marks, mark(e.generation, e.origin(key)))
	}
	a := actions(r, e.localASN(e.peer))
	switch {
	case r.Verdict == state.Accept && a.Community == nil:
		a.Community = unmark(0).Community
	case r.Verdict == state.Accept:
		// It can either add communities or take the marks off.
		a.Community.Communities = append(a.Community.Communities, mark(e.generation, markDecided))
		e.add(e.rule(r, marks...), a)
		e.add(e.conditions(mark(e.generation, markDecided)), unmark(api.RouteAction_ACCEPT))
		return
	}
	a.RouteAction = verdict(r.Verdict)
	e.add(e.rule(r, marks...), a)
}
