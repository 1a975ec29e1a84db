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
	lost  func() // called for each that leads nowhere
	mu    sync.Mutex
	asked map[netip.Addr]bool
}

// askedMost is how many are noted. With more, every route counts.
const askedMost = 1 << 16

func newNextHops(l *render.Learned, lost func()) *nextHops {
	return &nextHops{Learned: l, lost: lost, asked: map[netip.Addr]bool{}}
}

// Reaches is called by the speaker, on a goroutine of its own.
func (n *nextHops) Reaches(prefix netip.Prefix, nextHop netip.Addr) bool {
	n.mu.Lock()
	if len(n.asked) < askedMost {
		n.asked[nextHop] = true
	}
	n.mu.Unlock()
	reached := n.Learned.Reaches(prefix, nextHop)
	if !reached {
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
