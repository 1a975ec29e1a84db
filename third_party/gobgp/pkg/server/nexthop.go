package server

import (
	"net/netip"

	"github.com/osrg/gobgp/v3/internal/pkg/table"
)

// NextHops says which next hops lead somewhere. It is asked by the server's own
// goroutine, and must give the same answers each time.
type NextHops interface {
	// Class is the same for prefixes for which the same next hops lead somewhere.
	Class(netip.Prefix) int
	// Reaches says whether a next hop leads somewhere for a prefix.
	Reaches(netip.Prefix, netip.Addr) bool
}

// SetNextHops has paths whose next hop, as it was received, leads nowhere come after all
// others (RFC 4271, 9.1.2.1), those that are there already among them. It is called again
// where there are other answers.
func (s *BgpServer) SetNextHops(n NextHops) error {
	return s.mgmtOperation(func() error {
		before := s.nextHops
		s.nextHops = &nextHops{NextHops: n, known: map[nextHopKey]bool{}}
		for _, peer := range s.neighborMap {
			var changed []*table.Path
			for _, path := range peer.adjRibIn.PathList(peer.configuredRFlist(), true) {
				if s.nextHops.lost(path) != before.lost(path) {
					changed = append(changed, path)
				}
			}
			s.propagateUpdate(peer, changed)
		}
		return nil
	}, false)
}

// nextHops remembers the answers, for there are few among many paths.
type nextHops struct {
	NextHops
	known map[nextHopKey]bool
}

type nextHopKey struct {
	class   int
	nextHop netip.Addr
}

// nextHopsMax is how many answers are remembered at most: peers can name any next hop.
const nextHopsMax = 1 << 16

// lost says whether a path leads nowhere.
func (n *nextHops) lost(path *table.Path) bool {
	if n == nil || path.IsWithdraw || path.IsLocal() {
		return false
	}
	prefix, ok := unicastPrefix(path.GetNlri())
	if !ok {
		return false
	}
	key := nextHopKey{n.Class(prefix), toAddr(path.GetNexthop())}
	reached, ok := n.known[key]
	if !ok {
		reached = n.Reaches(prefix, key.nextHop)
		if len(n.known) < nextHopsMax {
			n.known[key] = reached
		}
	}
	return !reached
}

// mark gives the path as one that leads nowhere, if it does.
func (n *nextHops) mark(path *table.Path) *table.Path {
	if !n.lost(path) {
		return path
	}
	path = path.Clone(false)
	path.IsNexthopLost = true
	return path
}
