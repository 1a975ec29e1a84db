package bgp

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

// importAll writes the import policy. It judges what this node originates too,
// which it accepts as it is.
func (c *compiler) importAll(now *config, generation int) {
	if now.speaker == nil {
		return
	}
	c.importing(&api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL}, &api.Actions{RouteAction: api.RouteAction_ACCEPT})
	for _, own := range now.speaker.Own.List() {
		c.importing(&api.Conditions{PrefixSet: c.within(own, own.Bits(), own.Addr().BitLen())}, &api.Actions{RouteAction: api.RouteAction_REJECT})
	}
	c.importing(&api.Conditions{CommunitySet: &api.MatchSet{Name: c.set(&api.DefinedSet{
		DefinedType: api.DefinedType_COMMUNITY, List: []string{marksRegexp},
	})}}, unmark(api.RouteAction_NONE))
	if generation > 0 {
		c.importing(&api.Conditions{}, addMark(mark(generation, 0)))
	}
	for _, key := range now.origins() {
		cond := &api.Conditions{}
		if key.asPath != "" {
			cond.AsPathSet = c.asPath(key.asPath)
		}
		if key.source.IsValid() {
			cond.NeighborSet = c.neighbours([]netip.Prefix{key.source})
		}
		c.importing(cond, addMark(mark(generation, c.origin(key))))
	}
	for _, g := range now.groups(importing, func(state.BGPPeer) bool { return true }) {
		c.importGroup(now, g)
	}
}

func (c *compiler) importing(cond *api.Conditions, a *api.Actions) {
	c.imports = append(c.imports, &api.Statement{Name: c.name(), Conditions: cond, Actions: a})
}

func (c *compiler) asPath(expression string) *api.MatchSet {
	return &api.MatchSet{Name: c.set(&api.DefinedSet{DefinedType: api.DefinedType_AS_PATH, List: []string{expression}})}
}

// origins are the AS paths and sources that export rules match, sorted.
func (c *config) origins() []origin {
	var out []origin
	for _, p := range c.peers {
		chain, _ := c.chain(p.Export)
		for _, f := range chain {
			for _, r := range f.rules {
				if key := (origin{r.ASPath, r.Source}); !key.isZero() {
					out = append(out, key)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b origin) int {
		return cmp.Or(strings.Compare(a.asPath, b.asPath), state.ComparePrefixes(a.source, b.source))
	})
	return slices.Compact(out)
}

func (c *compiler) origin(key origin) int {
	n, err := c.origins.number(key)
	if err != nil {
		c.err = err
	}
	return n
}

func (c *compiler) importGroup(now *config, group []state.BGPPeer) {
	chain, err := now.chain(group[0].Import)
	if err != nil {
		c.err = err
		return
	}
	members := remotes(group)
	all := c.neighbours(members)
	accept := len(chain) > 0 && chain[len(chain)-1].Accept
	for _, f := range chain {
		for _, r := range f.rules {
			who := all
			if r.Source.IsValid() {
				from := overlap(members, r.Source)
				if len(from) == 0 {
					continue
				}
				who = c.neighbours(from)
			}
			cond := c.rule(r)
			cond.NeighborSet = who
			if r.ASPath != "" {
				cond.AsPathSet = c.asPath(r.ASPath)
			}
			// What a peer announces is made longer with the peer's own ASN: with this
			// node's, others of its AS would take the path for a loop.
			a := actions(r, 0)
			a.RouteAction = verdict(r.Verdict)
			c.importing(cond, a)
		}
	}
	if len(chain) == 0 {
		for _, pool := range now.speaker.Pools.List() {
			c.importing(&api.Conditions{NeighborSet: all, PrefixSet: c.within(pool, pool.Bits(), pool.Addr().BitLen())},
				&api.Actions{RouteAction: api.RouteAction_ACCEPT})
		}
	}
	last := api.RouteAction_REJECT
	if accept {
		last = api.RouteAction_ACCEPT
	}
	c.importing(&api.Conditions{NeighborSet: all}, &api.Actions{RouteAction: last})
}

// overlap gives what of the list lies in p, and p where it lies in one of the list.
func overlap(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, m := range list {
		switch {
		case p.Bits() <= m.Bits() && p.Contains(m.Addr()):
			out = append(out, m)
		case m.Bits() < p.Bits() && m.Contains(p.Addr()):
			out = append(out, p)
		}
	}
	return out
}

func addMark(m string) *api.Actions {
	return &api.Actions{Community: &api.CommunityAction{Type: api.CommunityAction_ADD, Communities: []string{m}}}
}

// unmark takes all marks off.
func unmark(v api.RouteAction) *api.Actions {
	return &api.Actions{
		RouteAction: v,
		Community:   &api.CommunityAction{Type: api.CommunityAction_REMOVE, Communities: []string{marksRegexp}},
	}
}
