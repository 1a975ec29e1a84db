package render

import (
	"fmt"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// priorityInput is filter: among the rules of the node's own firewall.
const priorityInput = 0

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
// to pods that seem to come from other pods.
func guards(f *desired.File) []string {
	var out []string
	for _, o := range outers(f) {
		out = append(out, fmt.Sprintf("%s saddr != @nodes%s %s drop", o.ip, o.suffix, o.match))
	}
	return out
}

// podGuards keep pods from sending to nodes what looks like a tunnel's packet: if
// masqueraded, it would come from a node.
func podGuards(f *desired.File) []string {
	var out []string
	for _, o := range outers(f) {
		out = append(out, fmt.Sprintf("%[1]s saddr @pools%[2]s %[1]s daddr @nodes%[2]s %[3]s drop", o.ip, o.suffix, o.match))
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
