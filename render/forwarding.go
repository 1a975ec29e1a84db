package render

import (
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// forwarding lets the node route. The per-device parameters of host ends come
// with their endpoints.
func (r *rendering) forwarding(n *desired.Node) {
	v4, v6 := families(n)
	if v4 {
		r.want(n.Pos.String(), state.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"})
	}
	if v6 {
		r.want(n.Pos.String(), state.Sysctl{Path: "net/ipv6/conf/all/forwarding", Value: "1"})
	}
}
