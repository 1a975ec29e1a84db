package state

import "net/netip"

// Neigh is a permanent neighbour entry (ip-neighbour(8)): Addr is at MAC on Dev.
type Neigh struct {
	Addr netip.Addr `json:"addr"`
	Dev  string     `json:"dev"`
	MAC  string     `json:"mac"` // lower case, with colons
}

// Key is the address and the device.
func (n Neigh) Key() Key { return Key{KindNeigh, n.Addr.String() + " dev " + n.Dev} }

// Fields prints the entry as ip-neighbour(8) does.
func (n Neigh) Fields() []Field {
	return []Field{{"(addr)", n.Addr.String()}, {"dev", n.Dev}, {"lladdr", n.MAC}, {"(state)", "PERMANENT"}}
}
