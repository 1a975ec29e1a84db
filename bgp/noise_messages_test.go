package bgp_test

import (
	"encoding/binary"
	"math/rand/v2"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// noise is one message: a good one, or one that is broken somewhere.
func noise(rng *rand.Rand) []byte {
	switch rng.IntN(40) {
	case 0:
		return mutateMessage(rng, opening(64513, "127.0.0.9", 90, oddCapabilities(rng)...))
	case 1:
		return opening(64513, "127.0.0.9", 90, oddCapabilities(rng)...)
	case 2:
		return message(packet.BGP_MSG_KEEPALIVE, random(rng, rng.IntN(3)))
	case 3:
		return message(packet.BGP_MSG_NOTIFICATION, random(rng, rng.IntN(40)))
	case 4, 5, 6:
		return message(packet.BGP_MSG_ROUTE_REFRESH, append([]byte{0, byte(rng.IntN(3)), byte(rng.IntN(3)), byte(rng.IntN(3))}, random(rng, rng.IntN(2)*rng.IntN(20))...))
	case 7:
		return mutateMessage(rng, message(byte(rng.IntN(7)), random(rng, rng.IntN(100))))
	case 8:
		return random(rng, rng.IntN(60))
	case 9, 10, 11:
		return mutateMessage(rng, message(packet.BGP_MSG_UPDATE, noisyUpdate(rng)))
	}
	return message(packet.BGP_MSG_UPDATE, noisyUpdate(rng))
}

// noisyUpdate is an UPDATE whose lengths agree, mostly; what is within is not what
// it should be.
func noisyUpdate(rng *rand.Rand) []byte {
	var list [][]byte
	for _, a := range attributeCorpus {
		if a[1] <= byte(packet.BGP_ATTR_TYPE_NEXT_HOP) && rng.IntN(30) > 0 || rng.IntN(12) == 0 {
			list = append(list, append([]byte{}, a...))
		}
	}
	for range rng.IntN(3) {
		switch i := rng.IntN(len(list) + 1); {
		case i == len(list) || rng.IntN(4) == 0: // one more, of any type
			value := random(rng, rng.IntN(40))
			if rng.IntN(20) == 0 {
				value = random(rng, rng.IntN(4000))
			}
			list = append(list, attribute([]byte{0x40, 0x80, 0xc0, 0xe0, byte(rng.IntN(256))}[rng.IntN(5)], byte(rng.IntN(45)), value))
		case rng.IntN(5) == 0: // twice
			list = append(list, list[i])
		case rng.IntN(6) == 0: // gone
			list = append(list[:i], list[i+1:]...)
		default: // its value, with the length right or wrong
			value := mutate(rng, list[i][3:])
			b := attribute(list[i][0], list[i][1], value)
			if rng.IntN(4) == 0 && len(b) > 3 {
				b[2] = byte(rng.IntN(256))
			}
			list[i] = b
		}
	}
	var attributes []byte
	for _, a := range list {
		attributes = append(attributes, a...)
	}
	var withdrawn, nlri []byte
	if rng.IntN(3) == 0 {
		withdrawn = prefixesOf(rng)
	}
	if rng.IntN(5) > 0 {
		nlri = prefixesOf(rng)
	}
	if room := 4096 - 19 - 4 - 4 - len(withdrawn) - len(attributes) - len(nlri) - rng.IntN(9); rng.IntN(25) == 0 && room > 0 {
		attributes = append(attributes, attribute(0xc0, 210, make([]byte, room))...) // it fills the message, and what is passed on grows
	}
	body := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	body = append(body, withdrawn...)
	length := len(attributes)
	if rng.IntN(30) == 0 {
		length += rng.IntN(9) - 4
	}
	body = binary.BigEndian.AppendUint16(body, uint16(length))
	body = append(append(body, attributes...), nlri...)
	return body[:min(len(body), 4096-19)]
}

// prefixesOf are a few from a small set, so that routes are replaced and withdrawn.
func prefixesOf(rng *rand.Rand) []byte {
	var b []byte
	for range rng.IntN(4) {
		switch rng.IntN(12) {
		case 0:
			b = append(b, byte(rng.IntN(40)))
			b = append(b, random(rng, rng.IntN(5))...)
		case 1:
			b = append(b, 0)
		default:
			b = append(b, 24, 10, 244, byte(rng.IntN(16)))
		}
	}
	return b
}

func attribute(flags, kind byte, value []byte) []byte {
	if len(value) > 255 || flags&0x10 != 0 {
		return append([]byte{flags | 0x10, kind, byte(len(value) >> 8), byte(len(value))}, value...)
	}
	return append([]byte{flags, kind, byte(len(value))}, value...)
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// mutate changes, cuts out, or puts in a few bytes.
func mutate(rng *rand.Rand, in []byte) []byte {
	b := append([]byte{}, in...)
	for range 1 + rng.IntN(3) {
		i := rng.IntN(len(b) + 1)
		switch {
		case rng.IntN(4) == 0:
			b = append(b[:i], append(random(rng, 1+rng.IntN(5)), b[i:]...)...)
		case rng.IntN(5) == 0:
			b = append(b[:i], b[min(len(b), i+1+rng.IntN(5)):]...)
		case i < len(b):
			b[i] = []byte{0, 1, 0xff, b[i] + 1, b[i] - 1, byte(rng.Uint32())}[rng.IntN(6)]
		}
	}
	return b
}

// mutateMessage keeps the header, mostly, so that the body is looked at.
func mutateMessage(rng *rand.Rand, m []byte) []byte {
	if rng.IntN(6) == 0 {
		return mutate(rng, m)
	}
	return message(m[18], mutate(rng, m[19:]))
}

// oddCapabilities are some that a peer may have, and some that nobody has.
func oddCapabilities(rng *rand.Rand) []packet.ParameterCapabilityInterface {
	var list []packet.ParameterCapabilityInterface
	for _, c := range []packet.ParameterCapabilityInterface{
		packet.NewCapFourOctetASNumber(64513),
		packet.NewCapAddPath([]*packet.CapAddPathTuple{packet.NewCapAddPathTuple(packet.RF_IPv4_UC, packet.BGP_ADD_PATH_BOTH)}),
		packet.NewCapExtendedNexthop([]*packet.CapExtendedNexthopTuple{packet.NewCapExtendedNexthopTuple(packet.RF_IPv4_UC, packet.AFI_IP6)}),
		packet.NewCapGracefulRestart(rng.IntN(2) == 0, true, uint16(rng.IntN(3)), []*packet.CapGracefulRestartTuple{
			packet.NewCapGracefulRestartTuple(packet.RF_IPv4_UC, true), packet.NewCapGracefulRestartTuple(packet.RF_EVPN, true),
		}),
		packet.NewCapLongLivedGracefulRestart([]*packet.CapLongLivedGracefulRestartTuple{packet.NewCapLongLivedGracefulRestartTuple(packet.RF_IPv4_UC, true, 1)}),
		packet.NewCapMultiProtocol(packet.RF_EVPN), packet.NewCapMultiProtocol(packet.RF_FS_IPv4_UC),
		packet.NewCapFQDN("noise", "example"), packet.NewCapSoftwareVersion("noise"),
		packet.NewCapUnknown(packet.BGPCapabilityCode(rng.IntN(256)), random(rng, rng.IntN(10))),
		packet.NewCapUnknown([]packet.BGPCapabilityCode{1, 2, 5, 64, 65, 69, 71, 73, 75}[rng.IntN(9)], random(rng, rng.IntN(10))),
	} {
		if rng.IntN(4) == 0 {
			list = append(list, c)
		}
	}
	return list
}

// attributeCorpus has one attribute or more of each type, as it should be.
var attributeCorpus = corpus()

func corpus() [][]byte {
	prefix6 := packet.NewIPv6AddrPrefix(64, "fd00:10:244:7::")
	rd, _ := packet.ParseRouteDistinguisher("64512:1")
	reach := func(hop string, nlri ...packet.AddrPrefixInterface) packet.PathAttributeInterface {
		return packet.NewPathAttributeMpReachNLRI(hop, nlri)
	}
	var out [][]byte
	for _, a := range []packet.PathAttributeInterface{
		packet.NewPathAttributeOrigin(0),
		packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAsPathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, []uint16{64513, 64514})}),
		packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{
			packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{64513, 4200000000}), packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SET, []uint32{64514, 64515}),
		}),
		packet.NewPathAttributeNextHop("127.0.0.9"),
		packet.NewPathAttributeMultiExitDisc(7), packet.NewPathAttributeLocalPref(100), packet.NewPathAttributeAtomicAggregate(),
		packet.NewPathAttributeAggregator(uint16(64513), "127.0.0.9"), packet.NewPathAttributeAggregator(uint32(64513), "127.0.0.9"),
		packet.NewPathAttributeAs4Path([]*packet.As4PathParam{packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{4200000000})}),
		packet.NewPathAttributeAs4Aggregator(4200000000, "127.0.0.9"),
		packet.NewPathAttributeCommunities([]uint32{64512<<16 | 1, 0xffff0006}),
		packet.NewPathAttributeOriginatorId("127.0.0.9"), packet.NewPathAttributeClusterList([]string{"127.0.0.1", "127.0.0.2"}),
		packet.NewPathAttributeExtendedCommunities([]packet.ExtendedCommunityInterface{
			packet.NewTwoOctetAsSpecificExtended(packet.EC_SUBTYPE_ROUTE_TARGET, 64512, 7, true),
			packet.NewLinkBandwidthExtended(64512, 100), packet.NewColorExtended(1), packet.NewEncapExtended(packet.TUNNEL_TYPE_VXLAN),
			packet.NewOpaqueExtended(true, []byte{1, 2, 3, 4, 5, 6, 7}),
		}),
		packet.NewPathAttributeLargeCommunities([]*packet.LargeCommunity{{ASN: 64512, LocalData1: 1, LocalData2: 2}}),
		packet.NewPathAttributeAigp([]packet.AigpTLVInterface{packet.NewAigpTLVIgpMetric(7)}),
		packet.NewPathAttributePmsiTunnel(packet.PMSI_TUNNEL_TYPE_INGRESS_REPL, false, 7, &packet.IngressReplTunnelID{Value: []byte{127, 0, 0, 9}}),
		packet.NewPathAttributeTunnelEncap([]*packet.TunnelEncapTLV{packet.NewTunnelEncapTLV(packet.TUNNEL_TYPE_VXLAN, []packet.TunnelEncapSubTLVInterface{packet.NewTunnelEncapSubTLVColor(7)})}),
		packet.NewPathAttributeUnknown(0xc0, 200, []byte{1, 2, 3}), packet.NewPathAttributeUnknown(0x80, 201, []byte{1, 2, 3}),
		reach("fd00::9", prefix6), reach("fd00::9", prefix6, packet.NewIPv6AddrPrefix(128, "fd00:10:244:7::7"), packet.NewIPv6AddrPrefix(0, "::")),
		reach("fd00::9", packet.NewIPAddrPrefix(24, "10.244.7.0")),
		packet.NewPathAttributeMpUnreachNLRI([]packet.AddrPrefixInterface{prefix6}),
		reach("127.0.0.9", packet.NewLabeledVPNIPAddrPrefix(24, "10.244.7.0", *packet.NewMPLSLabelStack(7), rd)),
		reach("127.0.0.9", packet.NewEVPNMacIPAdvertisementRoute(rd, packet.EthernetSegmentIdentifier{Value: make([]byte, 9)}, 7, "02:00:00:00:00:07", "10.244.7.7", []uint32{7})),
		packet.NewPathAttributeMpUnreachNLRI([]packet.AddrPrefixInterface{packet.NewFlowSpecIPv4Unicast([]packet.FlowSpecComponentInterface{packet.NewFlowSpecDestinationPrefix(packet.NewIPAddrPrefix(24, "10.244.7.0"))})}),
	} {
		if b, err := a.Serialize(); err == nil {
			out = append(out, b)
		}
	}
	// With a link-local next hop beside the global one, and the End-of-RIB of IPv6.
	hops := append(append([]byte{0, 2, 1, 32}, make([]byte, 32)...), 0, 64, 0xfd, 0, 0, 16, 2, 68, 0, 8)
	copy(hops[4:], []byte{0xfd}) // not the unspecified address
	return append(out, attribute(0x80, byte(packet.BGP_ATTR_TYPE_MP_REACH_NLRI), hops), attribute(0x80, byte(packet.BGP_ATTR_TYPE_MP_UNREACH_NLRI), []byte{0, 2, 1}))
}
