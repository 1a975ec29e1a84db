package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/state"
)

// HostRoutes are the host's routes that are not plumb's, as next hops are looked up
// in them.
type HostRoutes struct {
	by      map[netip.Prefix][]state.Route // the best first
	lengths map[bool][]int                 // that there are, the longest first; by whether IPv4
	own     map[netip.Addr]bool
}

// NewHostRoutes takes the routes of the main table and the host's devices, whose
// addresses are this node's own.
func NewHostRoutes(routes []state.Route, host Host) *HostRoutes {
	h := &HostRoutes{by: make(map[netip.Prefix][]state.Route, len(routes)), lengths: map[bool][]int{}, own: map[netip.Addr]bool{}}
	for _, r := range routes {
		h.by[r.Dst] = append(h.by[r.Dst], r)
		h.lengths[r.Dst.Addr().Is4()] = append(h.lengths[r.Dst.Addr().Is4()], r.Dst.Bits())
	}
	for is4, lengths := range h.lengths {
		slices.SortFunc(lengths, func(a, b int) int { return b - a })
		h.lengths[is4] = slices.Compact(lengths)
	}
	for _, list := range h.by {
		slices.SortStableFunc(list, func(a, b state.Route) int { return cmp.Compare(a.Metric, b.Metric) })
	}
	for _, i := range host.Interfaces {
		for _, a := range i.Addresses {
			h.own[a.Addr()] = true
		}
	}
	return h
}

// At gives the best route to exactly the prefix.
func (h *HostRoutes) At(p netip.Prefix) (state.Route, bool) {
	if list := h.by[p]; len(list) > 0 {
		return list[0], true
	}
	return state.Route{}, false
}

// Resolve gives the hops by which a next hop is reached: itself, where it is
// on-link, else the gateways of the longest route to it, which the kernel takes only
// where they are on-link. The error says in words why there are none.
func (h *HostRoutes) Resolve(a netip.Addr) ([]state.NextHop, error) {
	switch {
	case h.own[a]:
		return nil, fmt.Errorf("next hop %s is this node's own address", a)
	case a.IsLinkLocalUnicast() && a.Is6():
		return nil, fmt.Errorf("next hop %s is link-local, which says nothing without a device; have the peer send a global one", a)
	}
	r, ok := h.longest(a)
	switch {
	case !ok:
		return nil, fmt.Errorf("next hop %s cannot be reached: no route leads to it", a)
	case r.Type != state.Unicast:
		return nil, fmt.Errorf("next hop %s cannot be reached: %s", a, strings.TrimPrefix(state.String(r), "route "))
	}
	hops := hopsOf(r)
	for i := range hops {
		if !hops[i].Gateway.IsValid() {
			hops[i].Gateway = a
		}
	}
	if len(hops) == 0 {
		return nil, fmt.Errorf("next hop %s cannot be reached by %s", a, strings.TrimPrefix(state.String(r), "route "))
	}
	return hops, nil
}

func (h *HostRoutes) longest(a netip.Addr) (state.Route, bool) {
	for _, bits := range h.lengths[a.Is4()] {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if r, ok := h.At(p); ok {
			return r, true
		}
	}
	return state.Route{}, false
}

// hopsOf gives the ways of a route. What stands in words before the next hops
// (weights, a next hop object's number) does not change where they lead.
func hopsOf(r state.Route) []state.NextHop {
	text := string(r.Multipath)
	if i := strings.Index(text, "nexthop"); i >= 0 {
		hops, err := state.Multipath(text[i:]).Hops()
		if err != nil {
			return nil
		}
		return slices.DeleteFunc(hops, func(n state.NextHop) bool { return n.Dev == "" || n.Dev == "lo" })
	}
	if r.Dev == "" || r.Dev == "lo" {
		return nil
	}
	return []state.NextHop{r.NextHop}
}
