package render

import (
	"fmt"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

const (
	// priorityInput is filter: among the rules of the node's own firewall.
	priorityInput = 0
	// tunnelsChain is in postrouting, where destinations are translated and sources are
	// not yet: priority 0 is before 100, at which the kernel calls all chains that
	// translate sources. The hook forward does not see all that pods send: IPVS takes
	// it in at input, and sends it on by output.
	tunnelsChain    = "tunnels"
	priorityTunnels = 0
)

// outer is how tunnelled packets are told: in the words of nft(8), by the outer
// header's family.
type outer struct{ ip, suffix, match string }

// outers gives the tunnels that the file's pools ask for. VXLAN may come over both
// families; IPIP is protocol 4 of IPv4 (RFC 2003).
func outers(f *desired.File) []outer {
	var out []outer
	for _, p := range f.Pools {
		var more []outer
		switch p.Encapsulation {
		case desired.VXLAN:
			port := fmt.Sprintf("udp dport %d", p.VXLAN.Port)
			more = []outer{{"ip", "4", port}, {"ip6", "6", port}}
		case desired.IPIP:
			more = []outer{{"ip", "4", "ip protocol 4"}}
		}
		for _, o := range more {
			if !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	return out
}

// guards keep strangers out of the tunnels. What comes in to a tunnel must come from
// a node of the file: without that, anybody who reaches the node could hand packets
// to pods that seem to come from other pods. And it must be sent to an address of the
// file, as it is: the kernel takes VXLAN at every address that the node has, and what
// pods send to one that is not in the file is masqueraded, and so comes from a node.
//
// What tells a tunnel's packets comes first, so that all others cost no look into a set.
func guards(f *desired.File) []string {
	var out []string
	for _, o := range outers(f) {
		out = append(out,
			fmt.Sprintf("%s %s saddr != @nodes%s drop", o.match, o.ip, o.suffix),
			fmt.Sprintf("%s %s daddr != @nodes%s drop", o.match, o.ip, o.suffix))
	}
	for _, o := range outers(f) {
		if rule := o.match + " ct status dnat drop"; !slices.Contains(out, rule) {
			out = append(out, rule)
		}
	}
	return out
}

// outGuards keep this node from passing on to a node what looks like a tunnel's
// packet: of a pod, it would be masqueraded and so come from a node; through a service
// that leads to a node, likewise. A node that is a router for others passes on theirs.
func outGuards(f *desired.File) []string {
	var out []string
	for _, o := range outers(f) {
		to := fmt.Sprintf("%s %s daddr @nodes%s ", o.match, o.ip, o.suffix)
		out = append(out, fmt.Sprintf("%s%s saddr != @nodes%s drop", to, o.ip, o.suffix), to+"ct status dnat drop")
	}
	return out
}

// tunnelSource gives what the node itself sends into a tunnel, with whatever
// address, that of the tunnel: answers to any other would not come back through it.
func tunnelSource(f *desired.File) []string {
	if len(outers(f)) == 0 {
		return nil
	}
	rule := `oifname "plumb-*" fib saddr type local fib saddr . oif type != local masquerade`
	if f.NAT.FullyRandom {
		rule += " fully-random"
	}
	return []string{rule}
}

// nodeAddresses are the addresses from which tunnelled packets are taken, each an
// element by itself, so that a node more or less is an element more or less.
func (r *rendering) nodeAddresses(f *desired.File, n *desired.Node) {
	if len(outers(f)) == 0 {
		return
	}
	for _, c := range n.Addresses {
		set := "nodes6"
		a := c.Prefix.Addr()
		if a.Is4() {
			set = "nodes4"
		}
		r.want(c.Pos.String(), state.Element{Set: set, From: a, To: a})
	}
}

// vxlanPort is the port of the file's VXLAN pools (validation sees that they have one).
func vxlanPort(f *desired.File) (uint16, bool) {
	for _, p := range f.Pools {
		if p.Encapsulation == desired.VXLAN {
			return p.VXLAN.Port, true
		}
	}
	return 0, false
}

// without gives the larger part of a range of ports on either side of one; the range
// itself where that is not in it, or is all of it.
func without(r desired.PortRange, port uint16) desired.PortRange {
	switch {
	case port < r.First || port > r.Last || r.First == r.Last:
		return r
	case port-r.First > r.Last-port:
		return desired.PortRange{First: r.First, Last: port - 1}
	}
	return desired.PortRange{First: port + 1, Last: r.Last}
}

// anyPort is what the kernel chooses from where it is given no range
// (nf_nat_l4proto_unique_tuple, net/netfilter/nf_nat_core.c).
func anyPort() desired.PortRange { return desired.PortRange{First: 1024, Last: 65535} }
