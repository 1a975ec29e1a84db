package render

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// subnet is a prefix in which this node has neighbours, on a device.
type subnet struct {
	prefix netip.Prefix
	dev    string
	mtu    int // of the device; 0: not known
}

// onLink gives the subnets on which this node has neighbours, sorted. Host ends are
// not among them: behind those are pods. Nor are tunnels.
func onLink(self *desired.Node, host Host) []subnet {
	var out []subnet
	if host.Elsewhere {
		for _, a := range self.Addresses {
			out = append(out, subnet{prefix: a.Prefix.Masked()})
		}
		return out
	}
	for _, i := range host.Interfaces {
		if !i.Up || i.Name == "lo" || IsHostEnd(i.Name) || state.IsTunnel(i.Name) {
			continue
		}
		for _, a := range i.Addresses {
			if !a.IsSingleIP() && !a.Addr().IsLinkLocalUnicast() {
				out = append(out, subnet{a.Masked(), i.Name, i.MTU})
			}
		}
	}
	slices.SortFunc(out, func(a, b subnet) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), a.prefix.Bits()-b.prefix.Bits(), cmp.Compare(a.dev, b.dev))
	})
	return out
}

// subnetOf finds the longest subnet that holds the address; among equals the one of
// the first device by name.
func subnetOf(a netip.Addr, subnets []subnet) (best subnet, found bool) {
	bits := -1
	for _, s := range subnets {
		longer := s.prefix.Bits() > bits || s.prefix.Bits() == bits && s.dev < best.dev
		if s.prefix.Contains(a) && longer {
			best, found, bits = s, true, s.prefix.Bits()
		}
	}
	return best, found
}
