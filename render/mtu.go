package render

import (
	"net/netip"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// What a tunnel takes of each packet: an outer IP header (20 bytes, 40 for IPv6),
// and for VXLAN 8 of UDP, 8 of VXLAN and 14 of the inner Ethernet (RFC 7348,
// section 5; RFC 2003).
const (
	overheadVXLAN4 = 50
	overheadVXLAN6 = 70
	overheadIPIP   = 20
)

func overhead(dev string) int {
	switch dev {
	case state.VXLANDevice:
		return overheadVXLAN4
	case state.VXLANDevice6:
		return overheadVXLAN6
	}
	return overheadIPIP
}

// usualMTU is taken where an uplink's is not known.
const usualMTU = 1500

func mtuOf(i state.Interface) int {
	if i.MTU == 0 {
		return usualMTU
	}
	return i.MTU
}

// uplink is the device by which packets with a source address leave, and its MTU. An
// address on the loopback or on a dummy device, as routers have theirs, leaves by
// whichever device routing chooses: then none is named, and the narrowest counts.
func (h Host) uplink(a netip.Addr) (dev string, mtu int, ok bool) {
	i, ok := h.with(a)
	if !ok {
		return "", 0, false
	}
	if Leads(i) {
		return i.Name, mtuOf(i), true
	}
	for _, o := range h.Interfaces {
		if o.Up && Leads(o) && !IsHostEnd(o.Name) && !state.IsTunnel(o.Name) && len(o.Addresses) > 0 && (mtu == 0 || mtuOf(o) < mtu) {
			mtu = mtuOf(o)
		}
	}
	if mtu == 0 {
		mtu = usualMTU
	}
	return "", mtu, true
}

// Leads says whether a device leads anywhere. Where one of those that have the node's
// addresses does not, the MTU depends on all others.
func Leads(i state.Interface) bool { return i.Name != "lo" && i.Type != "dummy" }

// PodMTU is the MTU that a new pod's interface on the node gets: settings.mtu, else
// what the node's uplink and the widest header of the pools' encapsulations leave.
func PodMTU(f *desired.File, node string, host Host) int {
	self, ok := f.Node(node)
	if !ok {
		return usualMTU
	}
	return podMTU(f, self, host, tunnels(f, self, host))
}

func podMTU(f *desired.File, self *desired.Node, host Host, tunnels map[string]tunnel) int {
	if f.Settings.MTU != 0 {
		return f.Settings.MTU
	}
	mtu := usualMTU
	for _, a := range self.Addresses {
		if _, room, ok := host.uplink(a.Prefix.Addr()); ok {
			mtu = room
			break
		}
	}
	uplink := mtu
	for dev, t := range tunnels {
		if room := t.mtu; room > 0 {
			mtu = min(mtu, room)
		} else {
			mtu = min(mtu, uplink-overhead(dev))
		}
	}
	return mtu
}
