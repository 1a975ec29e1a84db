package bgp

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

// Destination is a prefix of the RIB with all its paths, the best first.
type Destination struct {
	Prefix netip.Prefix `json:"prefix"`
	Paths  []RIBPath    `json:"paths"`
}

// RIBPath is a path with its attributes.
type RIBPath struct {
	NextHop netip.Addr `json:"nextHop"`
	// Peer is not valid for what this node originates.
	Peer     netip.Addr `json:"peer,omitzero"`
	PeerName string     `json:"peerName,omitempty"` // of its session
	// Best is set for the best path and those that are used beside it. Why says of
	// the first what it has before the others, and of the others what they lack.
	Best         bool      `json:"best,omitempty"`
	Why          string    `json:"why,omitempty"`
	Stale        bool      `json:"stale,omitempty"` // its peer restarts
	Lost         bool      `json:"lost,omitempty"`  // its next hop leads nowhere
	ASPath       []uint32  `json:"asPath"`
	LocalPref    uint32    `json:"localPref"`
	MED          uint32    `json:"med"`
	Origin       string    `json:"origin"` // igp, egp, incomplete
	Communities  []string  `json:"communities,omitempty"`
	OriginatorID string    `json:"originatorID,omitempty"`
	ClusterList  []string  `json:"clusterList,omitempty"`
	Since        time.Time `json:"since"`

	external bool   // learned over eBGP
	firstAS  uint32 // what MEDs are compared within
}

// RIB calls yield with the destinations within p, or with all where p is not
// valid, in the order of prefixes.
func (s *Speaker) RIB(ctx context.Context, p netip.Prefix, yield func(Destination)) error {
	list, err := s.lookUp(ctx, p, api.TableLookupPrefix_LONGER)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b Destination) int { return state.ComparePrefixes(a.Prefix, b.Prefix) })
	for _, d := range list {
		yield(d)
	}
	return ctx.Err()
}

// RIBFor gives the destination by which a is reached: the longest prefix that holds it.
func (s *Speaker) RIBFor(ctx context.Context, a netip.Addr) (d Destination, ok bool, err error) {
	list, err := s.lookUp(ctx, netip.PrefixFrom(a, a.BitLen()), api.TableLookupPrefix_SHORTER)
	if err != nil || len(list) == 0 {
		return d, false, err
	}
	return slices.MaxFunc(list, func(a, b Destination) int { return cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()) }), true, nil
}

func (s *Speaker) lookUp(ctx context.Context, p netip.Prefix, how api.TableLookupPrefix_Type) ([]Destination, error) {
	c := s.current.Load()
	if c == nil || c.speaker == nil {
		return nil, nil
	}
	var list []Destination
	names := map[netip.Addr]string{}
	for _, f := range []*api.Family{familyIPv4, familyIPv6} {
		r := &api.ListPathRequest{TableType: api.TableType_GLOBAL, Family: f}
		if p.IsValid() {
			if p.Addr().Is4() != (f == familyIPv4) {
				continue
			}
			r.Prefixes = []*api.TableLookupPrefix{{Prefix: p.Masked().String(), Type: how}}
		}
		if err := s.server.ListPath(ctx, r, func(a *api.Destination) {
			prefix, err := netip.ParsePrefix(a.Prefix)
			if err != nil {
				return
			}
			d := Destination{Prefix: prefix}
			for _, p := range a.Paths {
				path := ribPath(p, c.speaker.ASN)
				path.PeerName = c.nameIn(names, path.Peer)
				path.Lost = s.lost(&d, &path)
				d.Paths = append(d.Paths, path)
			}
			explain(d.Paths)
			list = append(list, d)
		}); err != nil {
			return nil, fmt.Errorf("RIB: %w", err)
		}
	}
	return list, nil
}

// nameIn is the name of the peer's session, with the address where it is one of many,
// kept in names: few, of many paths.
func (c *config) nameIn(names map[netip.Addr]string, peer netip.Addr) string {
	name, ok := names[peer]
	if !ok && peer.IsValid() {
		p, _ := c.peerAt(peer)
		name = p.Name
		if p.Prefix.IsValid() {
			name += " " + peer.String()
		}
		names[peer] = name
	}
	return name
}

// addressOf gives no address for "<nil>", the peer of what this node originates.
func addressOf(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a.Unmap()
}

func ribPath(p *api.Path, asn uint32) RIBPath {
	r := RIBPath{
		Peer: addressOf(p.GetNeighborIp()), Stale: p.GetStale(), LocalPref: 100,
		ASPath: []uint32{}, Since: p.GetAge().AsTime(), external: p.GetSourceAsn() != asn,
	}
	for _, any := range p.GetPattrs() {
		m, err := any.UnmarshalNew()
		if err != nil {
			continue
		}
		switch a := m.(type) {
		case *api.NextHopAttribute:
			r.NextHop = cmp.Or(r.NextHop, addressOf(a.NextHop))
		case *api.MpReachNLRIAttribute: // a second one is link-local (RFC 2545, 3)
			if len(a.NextHops) > 0 {
				r.NextHop = cmp.Or(r.NextHop, addressOf(a.NextHops[0]))
			}
		case *api.OriginAttribute:
			r.Origin = [...]string{"igp", "egp", "incomplete"}[min(a.Origin, 2)]
		case *api.AsPathAttribute:
			for _, segment := range a.Segments {
				r.ASPath = append(r.ASPath, segment.Numbers...)
			}
		case *api.LocalPrefAttribute:
			r.LocalPref = a.LocalPref
		case *api.MultiExitDiscAttribute:
			r.MED = a.Med
		case *api.CommunitiesAttribute:
			for _, n := range a.Communities {
				if s := fmt.Sprintf("%d:%d", n>>16, n&0xffff); !isMark(s) {
					r.Communities = append(r.Communities, s)
				}
			}
		case *api.LargeCommunitiesAttribute:
			for _, l := range a.Communities {
				r.Communities = append(r.Communities, fmt.Sprintf("%d:%d:%d", l.GlobalAdmin, l.LocalData1, l.LocalData2))
			}
		case *api.OriginatorIdAttribute:
			r.OriginatorID = a.Id
		case *api.ClusterListAttribute:
			r.ClusterList = a.Ids
		}
	}
	if len(r.ASPath) > 0 {
		r.firstAS = r.ASPath[0]
	}
	return r
}

// explain says why the first path is the best, and what the others lack: the first
// step of the selection (RFC 4271, 9.1.2.2) that tells the two apart.
func explain(paths []RIBPath) {
	for i := range paths {
		if i == 0 {
			paths[0].Best = true
			paths[0].Why = "the only path"
			continue
		}
		step, equal := compareRIB(&paths[0], &paths[i])
		paths[i].Best = equal && paths[0].Peer.IsValid()
		paths[i].Why = step.lost
		if paths[i].Best {
			paths[i].Why = "equal to the best"
		}
		if i == 1 {
			paths[0].Why = step.won
		}
	}
}

type selection struct{ won, lost string }

func compareRIB(best, p *RIBPath) (selection, bool) {
	same := len(best.ASPath) == 0 && len(p.ASPath) == 0 || best.firstAS != 0 && best.firstAS == p.firstAS
	switch {
	case best.Lost != p.Lost:
		return selection{"its next hop leads somewhere", "its next hop leads nowhere"}, false
	case best.Peer.IsValid() != p.Peer.IsValid():
		return selection{"originated here", "not originated here"}, false
	case best.LocalPref != p.LocalPref:
		return selection{"highest local preference", "lower local preference"}, false
	case len(best.ASPath) != len(p.ASPath):
		return selection{"shortest AS path", "longer AS path"}, false
	case best.Origin != p.Origin:
		return selection{"best origin", "worse origin"}, false
	case same && best.MED != p.MED:
		return selection{"lowest MED", "higher MED"}, false
	case best.external != p.external:
		return selection{"external", "internal"}, false
	case best.external:
		return selection{"oldest", "newer"}, true
	}
	return selection{"lowest router ID or address", "higher router ID or address"}, true
}
