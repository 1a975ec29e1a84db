package agent

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/plumbnet/plumb/render"
)

// nextHops tell the speaker which next hops lead somewhere by one rendering, and note
// those that it asks for: the ways to them count, whether or not their paths are best.
type nextHops struct {
	*render.Learned
	lost  func() // called when one that was not asked for before leads nowhere
	mu    sync.Mutex
	asked map[netip.Addr]bool
}

// askedMost is how many are noted. With more, every route counts.
const askedMost = 1 << 16

func newNextHops(l *render.Learned, lost func()) *nextHops {
	return &nextHops{Learned: l, lost: lost, asked: map[netip.Addr]bool{}}
}

// Reaches is called by the speaker, on a goroutine of its own, and by who lists the RIB,
// for every path.
func (n *nextHops) Reaches(prefix netip.Prefix, nextHop netip.Addr) bool {
	n.mu.Lock()
	before := n.asked[nextHop]
	if len(n.asked) < askedMost {
		n.asked[nextHop] = true
	}
	n.mu.Unlock()
	reached := n.Learned.Reaches(prefix, nextHop)
	if !reached && !before {
		n.lost()
	}
	return reached
}

// concern says whether routes to one of the prefixes may lead to a next hop.
func (n *nextHops) concern(prefixes []netip.Prefix) bool {
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.asked) == askedMost {
		return true
	}
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		for a := range n.asked {
			if p.Contains(a) {
				return true
			}
		}
		return false
	})
}
