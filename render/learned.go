package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// NextHopRule says of a prefix and a next hop that was learned for it that the way
// is another than the host's routes to the next hop: a tunnel. Not ok: it is not.
type NextHopRule func(prefix netip.Prefix, nextHop netip.Addr) (hop state.NextHop, mtu uint32, ok bool, err error)

// Rule takes next hops that are nodes of the file to the tunnels of pools that have
// one, as for routes of the file. A pool without encapsulation has no rule: its next
// hops may be behind routers that know the pods.
func (p *Paths) Rule() NextHopRule {
	return func(prefix netip.Prefix, nextHop netip.Addr) (hop state.NextHop, mtu uint32, ok bool, err error) {
		if pool, in := pool(p.file, prefix); !in || pool.Encapsulation == desired.NoEncapsulation {
			return hop, 0, false, nil
		}
		path, ok, err := p.Learned(prefix, nextHop)
		return path.Hop, path.MTU, ok, err
	}
}

// Learned makes routes of what was learned over BGP.
type Learned struct {
	Routes *HostRoutes
	Rule   NextHopRule // nil: no next hop is another
	Table  uint32
	// MaxPaths is how many ways a route has at most.
	MaxPaths int
	Pools    []netip.Prefix // within which the rule says the same of all prefixes
}

// NewLearned takes what the file says of learned routes.
func NewLearned(f *desired.File, routes *HostRoutes, rule NextHopRule) *Learned {
	l := &Learned{Routes: routes, Rule: rule, Table: f.Settings.RouteTable, MaxPaths: 1}
	if f.BGP != nil {
		l.MaxPaths = f.BGP.MaxPaths
	}
	for i := range f.Pools {
		l.Pools = append(l.Pools, f.Pools[i].CIDR)
	}
	return l
}

// Class is the same for prefixes that have the same way by the same next hops.
func (l *Learned) Class(p netip.Prefix) int {
	family := 0
	if p.Addr().Is6() {
		family = 1
	}
	return 2*slices.IndexFunc(l.Pools, func(c netip.Prefix) bool { return c.Bits() <= p.Bits() && c.Contains(p.Addr()) }) + family
}

// Way is how next hops are reached for the prefixes of a class. It is compared to
// see whether routes change.
type Way struct {
	route   state.Route // to any prefix
	Reached bool
	// Missing says in words which next hops are held back, and why.
	Missing string
}

// Way resolves the next hops of a prefix. Those that cannot be reached are left out.
func (l *Learned) Way(prefix netip.Prefix, nextHops []netip.Addr) Way {
	var hops []state.NextHop
	var mtu uint32
	var w Way
	for _, a := range nextHops {
		more, m, err := l.resolve(prefix, a)
		if err != nil {
			if w.Missing != "" {
				w.Missing += "; "
			}
			w.Missing += err.Error()
			continue
		}
		hops = append(hops, more...)
		if m != 0 && (mtu == 0 || m < mtu) {
			mtu = m
		}
	}
	slices.SortFunc(hops, func(a, b state.NextHop) int {
		return cmp.Or(a.Gateway.Compare(b.Gateway), cmp.Compare(a.Dev, b.Dev))
	})
	hops = slices.Compact(hops)
	if len(hops) > l.MaxPaths {
		hops = hops[:l.MaxPaths]
	}
	if len(hops) == 0 {
		return w
	}
	w.Reached = true
	w.route = state.NewRoute(prefix, l.Table, state.ProtoBGP, hops...)
	w.route.MTU = mtu
	w.route.Dst = netip.Prefix{} // the same for all
	return w
}

func (l *Learned) resolve(prefix netip.Prefix, a netip.Addr) ([]state.NextHop, uint32, error) {
	if prefix.Addr().Is6() && a.Is4() {
		return nil, 0, fmt.Errorf("next hop %s is IPv4, and cannot be that of IPv6 routes; have the peer send an IPv6 one", a)
	}
	if l.Rule != nil {
		if hop, mtu, ok, err := l.Rule(prefix, a); ok {
			return []state.NextHop{hop}, mtu, err
		}
	}
	hops, err := l.Routes.Resolve(a)
	return hops, 0, err
}

// Reaches says whether a next hop leads somewhere, for a prefix and all of its class.
func (l *Learned) Reaches(prefix netip.Prefix, nextHop netip.Addr) bool {
	_, _, err := l.resolve(prefix, nextHop)
	return err == nil
}

// Route is the route to a prefix by a way that is reached.
func (w Way) Route(prefix netip.Prefix) state.Route {
	r := w.route
	r.Dst = prefix
	return r
}

// Taken says that a prefix is not for learned routes, and why: the host has a route
// of another owner to exactly it, of whatever metric. The kernel itself would take
// both, and prefer the one of the lower metric.
func (l *Learned) Taken(prefix netip.Prefix) (with string, taken bool) {
	if l.Table != state.TableMain {
		return "", false
	}
	r, taken := l.Routes.At(prefix)
	if !taken {
		return "", false
	}
	return state.String(r)[len("route "):], true
}
