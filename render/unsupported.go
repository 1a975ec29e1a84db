package render

import "github.com/plumbnet/plumb/state/desired"

// notCarriedOut says what this version reads and checks, but does not do yet, so
// that nobody waits for routes that will not come.
func (r *rendering) notCarriedOut(f *desired.File) {
	for _, p := range f.Pools {
		if p.Reachability == desired.ByBGP {
			r.warn(p.Pos.String(), "reachability: bgp is not carried out by this version: "+
				"pool %s gets no routes to other nodes; set reachability: static", p.CIDR)
		}
	}
}
