package desired

import (
	"net/netip"
	"time"
)

func newBGP() BGP {
	return BGP{
		ListenPort:      179,
		HoldTime:        90 * time.Second,
		GracefulRestart: GracefulRestart{RestartTime: 120 * time.Second},
		MaxPaths:        8,
	}
}

var bgpShape = withBlank(section("bgp", func(b *BGP) *Pos { return &b.Pos },
	optional("asn", asnShape, func(b *BGP) *uint32 { return &b.ASN }),
	optional("mesh", boolean, func(b *BGP) *bool { return &b.Mesh }),
	optional("listenPort", listenPortShape, func(b *BGP) *int { return &b.ListenPort }),
	// RFC 4271 wants a hold time of zero, which means never, or three seconds;
	// never would leave the routes of a dead peer in place.
	optional("holdTime", duration(3*time.Second, 65535*time.Second, time.Second), func(b *BGP) *time.Duration { return &b.HoldTime }),
	optional("gracefulRestart", gracefulRestartShape, func(b *BGP) *GracefulRestart { return &b.GracefulRestart }),
	optional("maxPaths", integer[int](1, 255), func(b *BGP) *int { return &b.MaxPaths }),
	optional("peers", list(peerShape), func(b *BGP) *[]Peer { return &b.Peers }),
	optional("filters", list(filterShape), func(b *BGP) *[]Filter { return &b.Filters }),
	optional("advertise", list(advertiseShape), func(b *BGP) *[]Advertise { return &b.Advertise }),
), newBGP)

var gracefulRestartShape = section("bgp.gracefulRestart", nil,
	// Twelve bits in the message (RFC 4724).
	optional("restartTime", duration(time.Second, 4095*time.Second, time.Second), func(g *GracefulRestart) *time.Duration { return &g.RestartTime }),
)

func newPeer() Peer { return Peer{Port: 179} }

var peerShape = item(newPeer, func(p *Peer) *Pos { return &p.Pos },
	required("name", nameShape, func(p *Peer) *string { return &p.Name }),
	optional("nodeSelector", labels, func(p *Peer) *map[string]string { return &p.NodeSelector }),
	optional("address", addressShape, func(p *Peer) *netip.Addr { return &p.Address }),
	optional("prefix", rangeShape, func(p *Peer) *netip.Prefix { return &p.Prefix }),
	required("asn", asnShape, func(p *Peer) *uint32 { return &p.ASN }),
	optional("port", portShape, func(p *Peer) *uint16 { return &p.Port }),
	optional("passwordFile", str(checkAbsolute), func(p *Peer) *string { return &p.PasswordFile }),
	optional("ttlSecurity", boolean, func(p *Peer) *bool { return &p.TTLSecurity }),
	optional("multihop", integer[int](1, 255), func(p *Peer) *int { return &p.Multihop }),
	optional("localASN", asnShape, func(p *Peer) *uint32 { return &p.LocalASN }),
	optional("sourceAddress", addressShape, func(p *Peer) *netip.Addr { return &p.SourceAddress }),
	optional("passive", boolean, func(p *Peer) *bool { return &p.Passive }),
	optional("routeReflectorClient", boolean, func(p *Peer) *bool { return &p.RouteReflectorClient }),
	optional("nextHopSelf", boolean, func(p *Peer) *bool { return &p.NextHopSelf }),
	optional("maxPrefixes", integer[int](0, 1<<32-1), func(p *Peer) *int { return &p.MaxPrefixes }),
	optional("families", list(choice("ipv4", "ipv6")), func(p *Peer) *[]string { return &p.Families }),
	optional("import", list(nameShape), func(p *Peer) *[]string { return &p.Import }),
	optional("export", list(nameShape), func(p *Peer) *[]string { return &p.Export }),
)

func newFilter() Filter { return Filter{Default: "reject"} }

var filterShape = item(newFilter, func(f *Filter) *Pos { return &f.Pos },
	required("name", nameShape, func(f *Filter) *string { return &f.Name }),
	optional("rules", list(ruleShape), func(f *Filter) *[]FilterRule { return &f.Rules }),
	optional("default", choice("accept", "reject"), func(f *Filter) *string { return &f.Default }),
)

func newRule() FilterRule { return FilterRule{Action: "next"} }

var ruleShape = item(newRule, func(r *FilterRule) *Pos { return &r.Pos },
	optional("match", matchShape, func(r *FilterRule) *Match { return &r.Match }),
	optional("set", setShape, func(r *FilterRule) *SetActions { return &r.Set }),
	optional("action", choice("accept", "reject", "next"), func(r *FilterRule) *string { return &r.Action }),
)

var matchShape = item(nil, func(m *Match) *Pos { return &m.Pos },
	optional("prefix", cidrShape, func(m *Match) *netip.Prefix { return &m.Prefix }),
	optional("length", lengthShape, func(m *Match) *Match { return m }),
	optional("communities", list(communityShape), func(m *Match) *[]string { return &m.Communities }),
	optional("asPath", str(checkRegexp), func(m *Match) *string { return &m.ASPath }),
	optional("nextHop", text("an IP address or a CIDR", parseAddressOrCIDR), func(m *Match) *netip.Prefix { return &m.NextHop }),
	optional("source", text("an IP address or a CIDR", parseAddressOrCIDR), func(m *Match) *netip.Prefix { return &m.Source }),
)

var lengthShape = shape[Match]{decode: func(w *walker, v value, to *Match) {
	var l lengths
	text("a range of lengths such as 16-24", parseLengths).decode(w, v, &l)
	to.MinLength, to.MaxLength = l.min, l.max
}}

var setShape = item(nil, nil,
	optional("localPref", pointer(integer[uint32](0, 1<<32-1)), func(s *SetActions) **uint32 { return &s.LocalPref }),
	optional("med", pointer(integer[uint32](0, 1<<32-1)), func(s *SetActions) **uint32 { return &s.MED }),
	optional("addCommunities", list(communityShape), func(s *SetActions) *[]string { return &s.AddCommunities }),
	optional("prependAS", integer[int](1, 32), func(s *SetActions) *int { return &s.PrependAS }),
)

var communityShape = str(checkCommunity)

var advertiseShape = item(nil, func(a *Advertise) *Pos { return &a.Pos },
	required("cidr", rangeShape, func(a *Advertise) *netip.Prefix { return &a.CIDR }),
	optional("nodeSelector", labels, func(a *Advertise) *map[string]string { return &a.NodeSelector }),
	optional("communities", list(communityShape), func(a *Advertise) *[]string { return &a.Communities }),
)
