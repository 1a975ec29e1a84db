package state

import "strings"

// Sysctl is a kernel parameter of the network namespace.
type Sysctl struct {
	Path  string `json:"path"` // below /proc/sys: net/ipv4/conf/eth0/proxy_arp
	Value string `json:"value"`
}

// Key is the path.
func (s Sysctl) Key() Key { return Key{KindSysctl, s.Path} }

// Fields prints the parameter as sysctl(8) does: a dot between the parts, and a
// slash in place of a dot within a part (net.ipv4.conf.eth0/100.proxy_arp).
func (s Sysctl) Fields() []Field {
	name := strings.Map(func(r rune) rune {
		switch r {
		case '/':
			return '.'
		case '.':
			return '/'
		}
		return r
	}, s.Path)
	return []Field{{"(name)", name}, {"=", s.Value}}
}
