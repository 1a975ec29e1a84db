package nft

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// word is a number and its name in nft(8).
type word struct {
	name string
	n    uint32
}

// words is a table of names; each number and each name once.
type words []word

func (ws words) number(name string) (uint32, bool) {
	for _, w := range ws {
		if w.name == name {
			return w.n, true
		}
	}
	return 0, false
}

func (ws words) name(n uint32) (string, bool) {
	for _, w := range ws {
		if w.n == n {
			return w.name, true
		}
	}
	return "", false
}

// The tables are functions' results rather than variables, so that nothing can
// change them.

func hooks() words {
	return words{
		{"prerouting", unix.NF_INET_PRE_ROUTING},
		{"input", unix.NF_INET_LOCAL_IN},
		{"forward", unix.NF_INET_FORWARD},
		{"output", unix.NF_INET_LOCAL_OUT},
		{"postrouting", unix.NF_INET_POST_ROUTING},
	}
}

func policies() words {
	return words{{"drop", 0}, {"accept", 1}} // NF_DROP, NF_ACCEPT
}

func families() words {
	return words{{"ipv4", unix.NFPROTO_IPV4}, {"ipv6", unix.NFPROTO_IPV6}}
}

// protocols are those that /etc/protocols of every distribution names alike.
// nft itself takes the names from that file; plumb must not depend on it, so
// all others are numbers.
func protocols() words {
	return words{
		{"icmp", unix.IPPROTO_ICMP},
		{"igmp", unix.IPPROTO_IGMP},
		{"tcp", unix.IPPROTO_TCP},
		{"udp", unix.IPPROTO_UDP},
		{"dccp", unix.IPPROTO_DCCP},
		{"gre", unix.IPPROTO_GRE},
		{"esp", unix.IPPROTO_ESP},
		{"ah", unix.IPPROTO_AH},
		{"ipv6-icmp", unix.IPPROTO_ICMPV6},
		{"sctp", unix.IPPROTO_SCTP},
		{"udplite", unix.IPPROTO_UDPLITE},
	}
}

func protocolName(n byte) string {
	if s, ok := protocols().name(uint32(n)); ok {
		return s
	}
	return strconv.Itoa(int(n))
}

// ctStates are the bits of `ct state` (NF_CT_STATE_BIT), in the order in which
// nft prints them.
func ctStates() words {
	return words{{"invalid", 1}, {"established", 2}, {"related", 4}, {"new", 8}, {"untracked", 64}}
}

// ctStatuses are the bits of `ct status` (enum ip_conntrack_status,
// include/uapi/linux/netfilter/nf_conntrack_common.h), in the order in which nft
// prints them.
func ctStatuses() words {
	return words{
		{"expected", 1},
		{"seen-reply", 2},
		{"assured", 4},
		{"confirmed", 8},
		{"snat", 16},
		{"dnat", 32},
		{"dying", 512},
	}
}

func verdicts() words {
	ret := int32(unix.NFT_RETURN)
	return words{{"accept", 1}, {"drop", 0}, {"return", uint32(ret)}}
}

// natFlags are those of masquerade and snat, in the order in which nft prints them.
func natFlags() words {
	return words{
		{"random", unix.NF_NAT_RANGE_PROTO_RANDOM},
		{"fully-random", unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY},
		{"persistent", unix.NF_NAT_RANGE_PERSISTENT},
	}
}

// fibFlags are what a fib lookup takes into account, in the order of nft.
func fibFlags() words {
	return words{
		{"saddr", unix.NFTA_FIB_F_SADDR},
		{"daddr", unix.NFTA_FIB_F_DADDR},
		{"mark", unix.NFTA_FIB_F_MARK},
		{"iif", unix.NFTA_FIB_F_IIF},
		{"oif", unix.NFTA_FIB_F_OIF},
	}
}

// presence is what `fib … oif` gives with NFTA_FIB_F_PRESENT.
func presence() words { return words{{"missing", 0}, {"exists", 1}} }

// addrTypes are route types (RTN_*), as `fib … type` has them.
func addrTypes() words {
	return words{
		{"unspec", unix.RTN_UNSPEC},
		{"unicast", unix.RTN_UNICAST},
		{"local", unix.RTN_LOCAL},
		{"broadcast", unix.RTN_BROADCAST},
		{"anycast", unix.RTN_ANYCAST},
		{"multicast", unix.RTN_MULTICAST},
		{"blackhole", unix.RTN_BLACKHOLE},
		{"unreachable", unix.RTN_UNREACHABLE},
		{"prohibit", unix.RTN_PROHIBIT},
	}
}

// ports are the offsets of the ports in the headers of TCP and UDP.
func ports() words { return words{{"sport", 0}, {"dport", 2}} }
