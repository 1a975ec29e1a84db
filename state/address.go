package state

import "net/netip"

// Address is an address on one of plumb's tunnel devices (ip-address(8)): what
// the node itself sends into the tunnel comes from it.
type Address struct {
	Prefix netip.Prefix `json:"prefix"` // not masked
	Dev    string       `json:"dev"`
	Peer   netip.Addr   `json:"peer,omitzero"` // the other end; plumb gives none
	// Odd is what else the address has that plumb gives none, in the words of
	// ip-address(8): "scope link".
	Odd string `json:"odd,omitempty"`
}

// Key is the address, the peer where there is one, and the device.
func (a Address) Key() Key {
	id := a.Prefix.String()
	if a.Peer.IsValid() {
		id += " peer " + a.Peer.String()
	}
	return Key{KindAddress, id + " dev " + a.Dev}
}

// Fields prints the address as `ip address add` takes it.
func (a Address) Fields() []Field {
	f := []Field{{"(address)", a.Prefix.String()}, {"dev", a.Dev}}
	if a.Peer.IsValid() {
		f = append(f, Field{"peer", a.Peer.String()})
	}
	if a.Odd != "" {
		f = append(f, Field{"(odd)", a.Odd})
	}
	return f
}
