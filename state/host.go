package state

import "net/netip"

// Interface is a network device of the host as it is: a fact, not a wish.
type Interface struct {
	Index     int
	Name      string
	Type      string // veth, vxlan, bridge …; empty for a physical device
	Up        bool   // administratively
	Carrier   bool   // the cable is in, the other end is up
	MTU       int
	Addresses []netip.Prefix // not masked: 172.18.0.3/16
}
