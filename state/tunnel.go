package state

import (
	"net/netip"
	"strconv"
)

// The tunnel devices, which are plumb's by their names. A VXLAN device sends over
// IPv4 or over IPv6, so there is one for each.
const (
	VXLANDevice  = "plumb-vxlan"    // over IPv4
	VXLANDevice6 = "plumb-vxlan-v6" // over IPv6
	IPIPDevice   = "plumb-ipip"
)

// IsTunnel says whether a device is one of plumb's tunnels.
func IsTunnel(dev string) bool {
	return dev == VXLANDevice || dev == VXLANDevice6 || dev == IPIPDevice
}

// Tunnel is what a tunnel device is made with and keeps: to change any of it is
// to make another device. It is zero for a device that is no tunnel.
type Tunnel struct {
	VNI      uint32     `json:"vni,omitempty"`
	Port     uint16     `json:"port,omitempty"`
	Local    netip.Addr `json:"local,omitzero"`     // the outer source address
	Parent   string     `json:"parent,omitempty"`   // the device that outer packets leave by
	Learning bool       `json:"learning,omitempty"` // takes forwarding entries from traffic; plumb's never do
	// Odd is what else the device has been given that plumb gives none, in the
	// words of ip-link(8): "ttl 5 proxy".
	Odd string `json:"odd,omitempty"`
}

// Fields prints what the tunnel is made with in the words of ip-link(8).
func (t Tunnel) Fields() []Field {
	var f []Field
	if t.VNI != 0 {
		f = append(f, number("id", t.VNI))
	}
	if t.Local.IsValid() {
		f = append(f, Field{"local", t.Local.String()})
	}
	if t.Parent != "" {
		f = append(f, Field{"dev", t.Parent})
	}
	if t.Port != 0 {
		f = append(f, number("dstport", uint32(t.Port)))
	}
	switch {
	case t.Learning:
		f = append(f, Field{"(learning)", "learning"})
	case t.VNI != 0:
		f = append(f, Field{"(learning)", "nolearning"})
	}
	if t.Odd != "" {
		f = append(f, Field{"(odd)", t.Odd})
	}
	return f
}

func number(name string, n uint32) Field { return Field{name, strconv.FormatUint(uint64(n), 10)} }
