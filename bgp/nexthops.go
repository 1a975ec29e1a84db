package bgp

import "github.com/osrg/gobgp/v3/pkg/server"

// NextHops says which next hops lead somewhere, and is asked from any goroutine.
type NextHops = server.NextHops

// SetNextHops has a path whose next hop leads nowhere come after all others, as RFC 4271
// has it (9.1.2.1) and BIRD: a path of a lower preference that leads somewhere is better.
// It is called again where there are other answers. Without it all lead somewhere.
func (s *Speaker) SetNextHops(n NextHops) error {
	s.nextHops.Store(&n)
	return s.server.SetNextHops(n)
}

// lost says whether a path of the RIB leads nowhere.
func (s *Speaker) lost(d *Destination, p *RIBPath) bool {
	n := s.nextHops.Load()
	return n != nil && p.Peer.IsValid() && !(*n).Reaches(d.Prefix, p.NextHop)
}
