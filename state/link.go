package state

// HostEndPrefix begins the name of every host end of a pod's veth; it is the
// mark by which plumb owns them.
const HostEndPrefix = "plb"

// HostEndMAC is the fixed MAC address of every host end, so that a pod's
// gateway never changes its address.
const HostEndMAC = "ee:ee:ee:ee:ee:ee"

// Link is a network device that plumb owns. The fields are those that plumb
// decides; what it leaves to others (a host end's MTU, its peer) is not here.
type Link struct {
	Name string `json:"name"`
	Type string `json:"type"` // veth, vxlan, ipip
	Tunnel
	MAC string `json:"mac,omitempty"` // lower case, with colons; an ipip device has none
	MTU uint32 `json:"mtu,omitempty"` // 0: left to others
	Up  bool   `json:"up"`            // administratively
}

// Key is the name.
func (l Link) Key() Key { return Key{KindLink, l.Name} }

// Fields prints the link in the words of ip-link(8).
func (l Link) Fields() []Field {
	f := append([]Field{{"(name)", l.Name}, {"type", l.Type}}, l.Tunnel.Fields()...)
	if l.MAC != "" {
		f = append(f, Field{"address", l.MAC})
	}
	if l.MTU != 0 {
		f = append(f, number("mtu", l.MTU))
	}
	up := "down"
	if l.Up {
		up = "up"
	}
	return append(f, Field{"state", up})
}
