package bgp

import (
	"context"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

// countEvery is how often the routes of a session are counted at most: GoBGP keeps
// no account of what its policies let pass and has to judge every route anew, which
// takes it a second for 100,000.
const countEvery = 5 * time.Second

// counted is what was counted of a session, and when.
type counted struct {
	at       time.Time
	version  uint64 // of all that was learned and configured
	received uint64
	accepted map[string]uint64 // by family
	sent     map[string]uint64
}

// count fills in Accepted and Sent.
func (s *Speaker) count(c *config, of state.BGPPeer, e *Session) {
	received := uint64(0)
	for _, f := range e.Families {
		received += f.Received
	}
	version := s.version.Load()
	s.countMu.Lock()
	defer s.countMu.Unlock()
	n := s.counted[e.Address]
	if n == nil || (n.version != version || n.received != received) && (time.Since(n.at) > countEvery || received < 1000) {
		n = &counted{at: time.Now(), version: version, received: received, accepted: map[string]uint64{}, sent: map[string]uint64{}}
		for _, f := range e.Families {
			// GoBGP's own count lacks what came back in a loop, and no more.
			loops := f.Received - min(f.Accepted, f.Received)
			passed := s.countPaths(api.TableType_ADJ_IN, e.Address, f.Family)
			n.accepted[f.Family] = passed - min(loops, passed)
			n.sent[f.Family] = s.countOut(c, of, e.Address, f.Family)
		}
		s.counted[e.Address] = n
	}
	for i := range e.Families {
		f := &e.Families[i]
		f.Accepted, f.Sent = n.accepted[f.Family], n.sent[f.Family]
	}
}

// countOut counts what is announced. Without a filter, and where nothing is
// reflected, that is what this node originates.
func (s *Speaker) countOut(c *config, of state.BGPPeer, address netip.Addr, family string) uint64 {
	if of.Export != "" || of.Reflect {
		return s.countPaths(api.TableType_ADJ_OUT, address, family)
	}
	n := uint64(0)
	for prefix := range c.prefixes {
		if prefix.Addr().Is4() == (family == "ipv4") {
			n++
		}
	}
	return n
}

func (s *Speaker) countPaths(table api.TableType, address netip.Addr, family string) uint64 {
	f := familyIPv4
	if family == "ipv6" {
		f = familyIPv6
	}
	n := uint64(0)
	_ = s.server.ListPath(context.Background(), &api.ListPathRequest{
		TableType: table, Name: address.String(), Family: f, EnableFiltered: table == api.TableType_ADJ_IN,
	}, func(d *api.Destination) {
		for _, p := range d.Paths {
			if !p.Filtered {
				n++
				return
			}
		}
	})
	return n
}
