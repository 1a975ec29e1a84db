package render

import (
	"fmt"
	"net/netip"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// Priorities of plumb's chains (include/uapi/linux/netfilter_ipv4.h).
const (
	// priorityPostrouting is srcnat + 10: after kube-proxy, which marks and
	// masquerades at srcnat, so that its decisions stand.
	priorityPostrouting = 110
	// priorityPrerouting is raw: spoofed packets make no conntrack entries.
	priorityPrerouting = -300
)

// builtIn is the origin of what every node has, whatever its file says.
const builtIn = "built in"

// nftables gives plumb's one table. It has the same sets, chains and rules for
// every state file with the same encapsulations, so that a change of pools or of
// nodes is a change of elements alone.
func (r *rendering) nftables(f *desired.File) {
	var all, masq, exclude []netip.Prefix
	for _, p := range f.Pools {
		all = append(all, p.CIDR)
		if p.NATOutgoing {
			masq = append(masq, p.CIDR)
		}
	}
	for _, c := range f.NAT.Exclude {
		exclude = append(exclude, c.Prefix)
	}
	origin := builtIn
	if f.NAT.Pos.Line > 0 {
		origin = f.NAT.Pos.String()
	}
	r.want(builtIn, state.Table{})
	r.set(f, "pools", all)
	r.set(f, "masq", masq)
	r.set(f, "exclude", exclude)
	r.want(builtIn, state.Chain{
		Name: "postrouting", Type: "nat", Hook: "postrouting", Priority: priorityPostrouting, Policy: "accept",
	})
	r.rules(origin, "postrouting", append(tunnelSource(f), masqueradeRules(f)...))
	r.want(builtIn, state.Chain{
		Name: "prerouting", Type: "filter", Hook: "prerouting", Priority: priorityPrerouting, Policy: "accept",
	})
	r.rules(builtIn, "prerouting", []string{
		fmt.Sprintf(`iifname "%s*" fib saddr . iif oif missing drop`, state.HostEndPrefix),
	})
	if g := guards(f); len(g) > 0 {
		r.set(f, "nodes", nil) // its elements come with the nodes
		r.want(builtIn, state.Chain{Name: "input", Type: "filter", Hook: "input", Priority: priorityInput, Policy: "accept"})
		r.rules(builtIn, "input", g)
		r.want(builtIn, state.Chain{Name: tunnelsChain, Type: "filter", Hook: "postrouting", Priority: priorityTunnels, Policy: "accept"})
		r.rules(builtIn, tunnelsChain, outGuards(f))
	}
}

func (r *rendering) rules(origin, chain string, exprs []string) {
	for i, e := range exprs {
		r.want(origin, state.Rule{Chain: chain, Pos: i, Expr: e})
	}
}

// set gives NAME4 and NAME6 and the elements that cover the prefixes.
func (r *rendering) set(f *desired.File, name string, prefixes []netip.Prefix) {
	for _, family := range []struct {
		suffix, typ string
		is4         bool
	}{{"4", "ipv4_addr", true}, {"6", "ipv6_addr", false}} {
		set := name + family.suffix
		r.want(builtIn, state.Set{Name: set, Type: family.typ})
		var mine []netip.Prefix
		for _, p := range prefixes {
			if p.Addr().Is4() == family.is4 {
				mine = append(mine, p)
			}
		}
		for _, e := range state.MergeRanges(set, mine) {
			r.want(originOf(f, name, e), e)
		}
	}
}

// originOf is the line of the first pool or exclusion that the element covers.
func originOf(f *desired.File, set string, e state.Element) string {
	covers := func(p netip.Prefix) bool {
		return p.Addr().BitLen() == e.From.BitLen() && e.From.Compare(p.Addr()) <= 0 && p.Addr().Compare(e.To) <= 0
	}
	if set == "exclude" {
		for _, c := range f.NAT.Exclude {
			if covers(c.Prefix) {
				return c.Pos.String()
			}
		}
	}
	for _, p := range f.Pools {
		if covers(p.CIDR) {
			return p.Pos.String()
		}
	}
	return builtIn
}

// masqueradeRules take what comes from a masqueraded pool and leaves all pools.
// A range of ports holds only for protocols that have ports, so TCP and UDP get
// rules of their own before the general one (nft(8), NAT statements). UDP gets one
// also to keep off the port of VXLAN: answers to such a connection would look like
// a tunnel's packets.
func masqueradeRules(f *desired.File) []string {
	var out []string
	for _, family := range []struct {
		ip, suffix string
		is4        bool
	}{{"ip", "4", true}, {"ip6", "6", false}} {
		fixed := f.NAT.Address.IsValid() && f.NAT.Address.Is4() == family.is4
		match := fmt.Sprintf("%[1]s saddr @masq%[2]s %[1]s daddr != @pools%[2]s %[1]s daddr != @exclude%[2]s",
			family.ip, family.suffix)
		for _, proto := range []string{"tcp", "udp"} {
			if ports, ok := portsOf(f, proto); ok {
				out = append(out, match+" meta l4proto "+proto+" "+translate(f.NAT, family.ip, fixed, ports))
			}
		}
		out = append(out, match+" "+translate(f.NAT, family.ip, fixed, desired.PortRange{}))
	}
	return out
}

// portsOf is the range of source ports for a protocol, where it needs one.
func portsOf(f *desired.File, proto string) (desired.PortRange, bool) {
	ports, given := f.NAT.PortRange, f.NAT.PortRange != (desired.PortRange{})
	port, vxlan := vxlanPort(f)
	if proto != "udp" || !vxlan {
		return ports, given
	}
	if !given {
		ports = anyPort()
	}
	kept := without(ports, port)
	return kept, given || kept != ports
}

// translate is the statement that gives a packet its new source; zero ports are any.
func translate(nat desired.NAT, ip string, fixed bool, r desired.PortRange) string {
	to, ports := "", r != (desired.PortRange{})
	switch {
	case ports && r.First == r.Last: // nft(8) takes no range of one
		to = fmt.Sprintf(":%d", r.First)
	case ports:
		to = fmt.Sprintf(":%d-%d", r.First, r.Last)
	}
	var s string
	switch {
	case fixed && nat.Address.Is6() && ports:
		s = fmt.Sprintf("snat %s to [%s]%s", ip, nat.Address, to)
	case fixed:
		s = fmt.Sprintf("snat %s to %s%s", ip, nat.Address, to)
	case ports:
		s = "masquerade to " + to
	default:
		s = "masquerade"
	}
	if nat.FullyRandom {
		s += " fully-random"
	}
	return s
}
