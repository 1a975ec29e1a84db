package render

import (
	"github.com/plumbnet/plumb/state/desired"
)

// Overheads of a tunnel, in bytes: what it adds before the pod's IP packet.
const (
	overheadVXLAN4 = 50 // Ethernet, IPv4, UDP, VXLAN (RFC 7348)
	overheadVXLAN6 = 70
	overheadIPIP   = 20 // IPv4 (RFC 2003)
)

// defaultMTU is Ethernet's, where no device of the host has the node's address.
const defaultMTU = 1500

// PodMTU is the MTU of a new pod's interface, in bytes: the file's, or what the
// node's uplink leaves when the widest header of the pools' tunnels is added.
func PodMTU(f *desired.File, node string, host Host) int {
	if f.Settings.MTU != 0 {
		return f.Settings.MTU
	}
	uplink, v4 := defaultMTU, false
	if n, ok := f.Node(node); ok {
		uplink = uplinkMTU(n, host)
		for _, a := range n.Addresses {
			v4 = v4 || a.Prefix.Addr().Is4()
		}
	}
	overhead := 0
	for _, p := range f.Pools {
		switch {
		case p.Encapsulation == desired.VXLAN && v4:
			overhead = max(overhead, overheadVXLAN4)
		case p.Encapsulation == desired.VXLAN:
			overhead = max(overhead, overheadVXLAN6)
		case p.Encapsulation == desired.IPIP:
			overhead = max(overhead, overheadIPIP)
		}
	}
	return uplink - overhead
}

// uplinkMTU is the smallest MTU of the devices that have one of the node's
// addresses.
func uplinkMTU(n *desired.Node, host Host) int {
	mtu := 0
	for _, i := range host.Interfaces {
		for _, p := range i.Addresses {
			for _, a := range n.Addresses {
				if p.Addr() == a.Prefix.Addr() && i.MTU > 0 && (mtu == 0 || i.MTU < mtu) {
					mtu = i.MTU
				}
			}
		}
	}
	if mtu == 0 {
		return defaultMTU
	}
	return mtu
}
