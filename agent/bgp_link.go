package agent

import (
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
)

// lost tells of a device that has no carrier any more.
func (s *sources) lost(i state.Interface) {
	if s.bgp.linkLost != nil {
		s.bgp.linkLost(i)
	}
}

// linkLost leaves it to the speaker which sessions that concerns, and does not wait for
// it. Of pods' devices, which have no address that a peer could be beside, it hears nothing.
func (a *agent) linkLost(i state.Interface) {
	global := slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return !p.Addr().IsLinkLocalUnicast() })
	if sp := a.speaker.open.Load(); sp != nil && global {
		a.pumps.Go(func() { sp.LinkLost(i.Name, i.Addresses) })
	}
}
