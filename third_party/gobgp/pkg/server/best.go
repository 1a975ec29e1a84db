package server

import (
	"context"
	"net"
	"net/netip"

	"github.com/osrg/gobgp/v3/internal/pkg/table"
	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// BestPath is one of the paths to a prefix that are best.
type BestPath struct {
	NextHop netip.Addr
	Peer    netip.Addr // who announced it; not valid: the server itself
}

// BestPathChange has all paths to a prefix that are best now: one, or with multiple
// paths enabled those that are equally good. None: the prefix was withdrawn.
type BestPathChange struct {
	Family bgp.RouteFamily // IPv4 or IPv6 unicast
	Prefix netip.Prefix
	Paths  []BestPath
}

// BestPathHandler is called by the server's own goroutine, in the order of events; so
// it must return soon, and must not call the server.
type BestPathHandler struct {
	// Changes is given what changed, which is valid during the call.
	Changes func([]BestPathChange)
	// EndOfRIB comes when all that the peer sent before it was given to Changes.
	EndOfRIB func(peer netip.Addr, family bgp.RouteFamily)
}

// WatchBestPaths calls h with the best paths that there are, the End-of-RIBs that were
// received, and from then on, until ctx ends, with what changes.
func (s *BgpServer) WatchBestPaths(ctx context.Context, h BestPathHandler) error {
	w := &h
	err := s.mgmtOperation(func() error {
		s.best.watchers = append(s.best.watchers, w)
		if s.active() == nil {
			s.currentBest(w)
		}
		return nil
	}, false)
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		_ = s.mgmtOperation(func() error {
			s.best.remove(w)
			return nil
		}, false)
	}()
	return nil
}

// bestChanges gathers changes, so that watchers are called once for many.
type bestChanges struct {
	watchers []*BestPathHandler
	changes  []BestPathChange
	paths    []BestPath // those of changes
}

// bestChangesMax is how many changes are gathered at most.
const bestChangesMax = 1024

func (b *bestChanges) remove(w *BestPathHandler) {
	for i, o := range b.watchers {
		if o == w {
			b.watchers = append(b.watchers[:i:i], b.watchers[i+1:]...)
			return
		}
	}
}

// note takes what GetChanges said of destinations.
func (b *bestChanges) note(best []*table.Path, multipath [][]*table.Path) {
	if len(b.watchers) == 0 {
		return
	}
	if len(multipath) == 0 {
		for i := range best {
			b.add(best[i : i+1])
		}
	}
	for _, list := range multipath {
		b.add(list)
	}
}

// add takes all best paths of one destination, which may be withdrawn.
func (b *bestChanges) add(list []*table.Path) {
	if len(list) == 0 || list[0] == nil {
		return
	}
	prefix, ok := unicastPrefix(list[0].GetNlri())
	if !ok {
		return
	}
	start := len(b.paths)
	for _, p := range list {
		if !p.IsWithdraw {
			b.paths = append(b.paths, BestPath{toAddr(p.GetNexthop()), toAddr(p.GetSource().Address)})
		}
	}
	end := len(b.paths)
	b.changes = append(b.changes, BestPathChange{list[0].GetRouteFamily(), prefix, b.paths[start:end:end]})
	if len(b.changes) == bestChangesMax {
		b.tell()
	}
}

// tell calls the watchers with what was gathered.
func (b *bestChanges) tell() {
	if len(b.changes) == 0 {
		return
	}
	for _, w := range b.watchers {
		w.Changes(b.changes)
	}
	b.changes, b.paths = b.changes[:0], b.paths[:0]
}

func (b *bestChanges) endOfRIB(peer net.IP, family bgp.RouteFamily) {
	for _, w := range b.watchers {
		w.EndOfRIB(toAddr(peer), family)
	}
}

func (s *BgpServer) currentBest(w *BestPathHandler) {
	b := &bestChanges{watchers: []*BestPathHandler{w}}
	for _, family := range []bgp.RouteFamily{bgp.RF_IPv4_UC, bgp.RF_IPv6_UC} {
		t, ok := s.globalRib.Tables[family]
		if !ok || table.SelectionOptions.DisableBestPathSelection {
			continue
		}
		for _, d := range t.GetDestinations() {
			if table.UseMultiplePaths.Enabled {
				b.add(d.GetMultiBestPath(table.GLOBAL_RIB_NAME))
			} else {
				b.add([]*table.Path{d.GetBestPath(table.GLOBAL_RIB_NAME, 0)})
			}
		}
	}
	b.tell()
	for _, p := range s.neighborMap {
		p.fsm.lock.RLock()
		peer, families := p.fsm.peerInfo.Address, p.fsm.pConf.AfiSafis
		for _, f := range families {
			if f.MpGracefulRestart.State.EndOfRibReceived {
				b.endOfRIB(peer, f.State.Family)
			}
		}
		p.fsm.lock.RUnlock()
	}
}

// unicastPrefix gives the prefix of IPv4 and IPv6 unicast.
func unicastPrefix(nlri bgp.AddrPrefixInterface) (netip.Prefix, bool) {
	var a netip.Addr
	var bits uint8
	switch n := nlri.(type) {
	case *bgp.IPAddrPrefix:
		a, bits = toAddr(n.Prefix), n.Length
	case *bgp.IPv6AddrPrefix:
		a, _ = netip.AddrFromSlice(n.Prefix.To16())
		bits = n.Length
		if a.Is4In6() {
			return netip.Prefix{}, false
		}
	}
	p, err := a.Prefix(int(bits))
	return p, err == nil && p.IsValid()
}

func toAddr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
