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
	MAC  string `json:"mac"`  // lower case, with colons
	Up   bool   `json:"up"`   // administratively
}

// Key is the name.
func (l Link) Key() Key { return Key{KindLink, l.Name} }

// Fields prints the link in the words of ip-link(8).
func (l Link) Fields() []Field {
	up := "down"
	if l.Up {
		up = "up"
	}
	return []Field{{"(name)", l.Name}, {"type", l.Type}, {"address", l.MAC}, {"state", up}}
}
