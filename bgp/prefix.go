package bgp

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/plumbnet/plumb/state"
)

// ownMarks gives the marks of all that this node originates.
func (s *Speaker) ownMarks(c *config) []string {
	var out []string
	if s.generation > 0 {
		out = append(out, mark(s.generation, 0))
	}
	for _, key := range c.origins() {
		if key.matchesOwn() {
			if n, err := s.origins.number(key); err == nil {
				out = append(out, mark(s.generation, n))
			}
		}
	}
	return out
}

// communitiesOf gives the marks and communities of a prefix that this node
// originates.
func (s *Speaker) communitiesOf(p state.BGPPrefix, marks []string) string {
	out := slices.Clip(marks)
	if !p.NextHop.IsValid() {
		out = append(out, mark(s.generation, markNoHop))
	}
	if p.Communities != "" {
		out = append(out, p.Communities)
	}
	return strings.Join(out, ",")
}

// originate announces a prefix, or changes what is announced of it.
func (s *Speaker) originate(p state.BGPPrefix, communities string) error {
	path := apiPath(p.Prefix, p.NextHop, strings.Split(communities, ","))
	if _, err := s.server.AddPath(context.Background(), &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: path}); err != nil {
		return err
	}
	s.originated[p.Prefix] = originated{p, communities}
	return nil
}

func (s *Speaker) withdraw(p netip.Prefix) error {
	delete(s.originated, p)
	return s.server.DeletePath(context.Background(), &api.DeletePathRequest{
		TableType: api.TableType_GLOBAL, Family: apiFamily(p), Path: apiPath(p, netip.Addr{}, nil),
	})
}

// originated is a prefix as it was announced last, with its communities and marks.
type originated struct {
	state.BGPPrefix
	communities string
}

func apiFamily(p netip.Prefix) *api.Family {
	if p.Addr().Is4() {
		return familyIPv4
	}
	return familyIPv6
}

func apiPath(p netip.Prefix, hop netip.Addr, communities []string) *api.Path {
	nlri := packed(&api.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())})
	path := &api.Path{Family: apiFamily(p), Nlri: nlri, Pattrs: []*anypb.Any{packed(&api.OriginAttribute{Origin: 0})}}
	if p.Addr().Is4() && (!hop.IsValid() || hop.Is4()) {
		if !hop.IsValid() {
			hop = netip.IPv4Unspecified()
		}
		path.Pattrs = append(path.Pattrs, packed(&api.NextHopAttribute{NextHop: hop.String()}))
	} else {
		if !hop.IsValid() {
			hop = netip.IPv6Unspecified()
		}
		path.Pattrs = append(path.Pattrs, packed(&api.MpReachNLRIAttribute{
			Family: apiFamily(p), NextHops: []string{hop.String()}, Nlris: []*anypb.Any{nlri},
		}))
	}
	standard, large := split(communities)
	if len(standard) > 0 {
		a := &api.CommunitiesAttribute{}
		for _, c := range standard {
			high, low, _ := strings.Cut(c, ":")
			a.Communities = append(a.Communities, parse32(high)<<16|parse32(low))
		}
		path.Pattrs = append(path.Pattrs, packed(a))
	}
	if len(large) > 0 {
		a := &api.LargeCommunitiesAttribute{}
		for _, c := range large {
			part := strings.SplitN(c+"::", ":", 4)
			a.Communities = append(a.Communities, &api.LargeCommunity{
				GlobalAdmin: parse32(part[0]), LocalData1: parse32(part[1]), LocalData2: parse32(part[2]),
			})
		}
		path.Pattrs = append(path.Pattrs, packed(a))
	}
	slices.SortFunc(path.Pattrs, func(a, b *anypb.Any) int { return strings.Compare(a.TypeUrl, b.TypeUrl) })
	return path
}

// packed cannot fail: the messages are made here.
func packed(m proto.Message) *anypb.Any {
	a, _ := anypb.New(m)
	return a
}

func parse32(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}
