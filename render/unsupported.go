package render

import "github.com/plumbnet/plumb/state/desired"

// notCarriedOut says what this version reads and checks, but does not do yet, so
// that nobody waits for routes that will not come.
func (r *rendering) notCarriedOut(f *desired.File) {
	for _, p := range f.Pools {
		if p.Encapsulation != desired.NoEncapsulation {
			r.warn(p.Pos.String(), "encapsulation: %s is not carried out by this version: "+
				"pool %s gets no routes to other nodes", p.Encapsulation, p.CIDR)
		}
	}
}
