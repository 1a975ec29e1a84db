package render

import (
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// Forwarding renders the switches that let the node route. The per-device
// parameters of host ends come with their endpoints.
func Forwarding(n *desired.Node) []Wanted {
	var r rendering
	v4, v6 := families(n)
	if v4 {
		r.want(n.Pos.String(), state.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"})
	}
	if v6 {
		r.want(n.Pos.String(), state.Sysctl{Path: "net/ipv6/conf/all/forwarding", Value: "1"})
	}
	return r.wanted
}
