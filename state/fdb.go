package state

import "net/netip"

// FDB is a forwarding entry of a VXLAN device (bridge(8), fdb): frames to MAC go
// to the tunnel's end at Dst.
type FDB struct {
	MAC string     `json:"mac"` // lower case, with colons
	Dev string     `json:"dev"`
	Dst netip.Addr `json:"dst"`
	// Odd is what else the entry has that plumb gives none, in the words of
	// bridge(8): "port 8472 dynamic".
	Odd string `json:"odd,omitempty"`
}

// Key is the MAC address and the device. Several entries of the MAC address of all
// zeros, or of a group, are told apart by where they lead: the kernel lets those
// alone have several destinations (drivers/net/vxlan, vxlan_fdb_update_existing).
func (e FDB) Key() Key {
	id := e.MAC + " dev " + e.Dev
	if e.Several() {
		id += " dst " + e.Dst.String()
	}
	return Key{KindFDB, id}
}

// Several says whether there may be several entries of the MAC address.
func (e FDB) Several() bool {
	if len(e.MAC) < 2 {
		return false
	}
	switch e.MAC[1] { // the group bit is the lowest of the first byte
	case '1', '3', '5', '7', '9', 'b', 'd', 'f':
		return true
	}
	return e.MAC == "00:00:00:00:00:00"
}

// Fields prints the entry as bridge(8) does.
func (e FDB) Fields() []Field {
	f := []Field{{"(mac)", e.MAC}, {"dev", e.Dev}}
	if e.Dst.IsValid() { // a group of next hops has no one destination
		f = append(f, Field{"dst", e.Dst.String()})
	}
	f = append(f, Field{"(self)", "self"})
	if e.Odd != "" {
		return append(f, Field{"(odd)", e.Odd})
	}
	return append(f, Field{"(state)", "permanent"})
}
