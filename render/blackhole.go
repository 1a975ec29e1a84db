package render

import (
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// blackholes drop what goes to an address of the node's own podCIDRs that no
// endpoint has. Without them it would follow the default route out, and come
// back for ever.
func (r *rendering) blackholes(f *desired.File, n *desired.Node) {
	for _, c := range n.PodCIDRs {
		r.want(c.Pos.String(), state.NewBlackhole(c.Prefix, f.Settings.RouteTable, state.ProtoPlumb))
	}
}
