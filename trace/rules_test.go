package trace

import (
	"net/netip"
	"testing"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace/facts"
)

func packet(src, dst, proto string, port uint16) facts.Packet {
	return facts.Packet{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: proto, DstPort: port}
}

func element(set, from, to string) facts.Element {
	return facts.Element{Element: state.Element{Set: set, From: netip.MustParseAddr(from), To: netip.MustParseAddr(to)}}
}

// Rules are read as nft(8) would: each of plumb's, of any state file.
func TestRules(t *testing.T) {
	n := &facts.Node{
		Back: facts.Lookup{Text: "10.244.1.5 dev plb1", Via: state.NextHop{Dev: "plb1"}},
		Out:  &facts.Device{Name: "plumb-vxlan", Addresses: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/32")}},
	}
	n.NFT.Elements = []facts.Element{
		element("pools4", "10.244.0.0", "10.244.255.255"), element("masq4", "10.244.0.0", "10.244.255.255"),
		element("pools6", "fd00::", "fd00::ffff"), element("nodes4", "172.18.0.2", "172.18.0.2"),
	}
	const masq = "ip saddr @masq4 ip daddr != @pools4 ip daddr != @exclude4 "
	for _, c := range []struct {
		rule    string
		p       facts.Packet
		in, out string
		want    string // verdict, or why it does not match, or ? and the unknown word
	}{
		{`iifname "plb*" fib saddr . iif oif missing drop`, packet("10.244.1.5", "1.1.1.1", "icmp", 0), "plb1", "", "not: 10.244.1.5 is routed back to plb1"},
		{`iifname "plb*" fib saddr . iif oif missing drop`, packet("10.244.1.5", "1.1.1.1", "icmp", 0), "plb2", "", "drop: source 10.244.1.5 is not routed back to plb2: the route back to it is 10.244.1.5 dev plb1"},
		{`iifname "plb*" fib saddr . iif oif missing drop`, packet("10.244.1.5", "1.1.1.1", "icmp", 0), "eth0", "", "not: "},
		{masq + "masquerade fully-random", packet("10.244.1.5", "1.1.1.1", "icmp", 0), "", "", "masquerade: 10.244.1.5 is in @masq4 (10.244.0.0/16), 1.1.1.1 is not in @pools4 or @exclude4"},
		{masq + "masquerade fully-random", packet("10.244.1.5", "10.244.2.5", "icmp", 0), "", "", "not: 10.244.2.5 is in @pools4 (10.244.0.0/16)"},
		{masq + "masquerade fully-random", packet("172.18.0.2", "1.1.1.1", "icmp", 0), "", "", "not: 172.18.0.2 is not in @masq4"},
		{masq + "masquerade", packet("fd00::1", "2001:db8::1", "icmp", 0), "", "", "not: "},
		{masq + "meta l4proto tcp masquerade to :32768-60999 fully-random", packet("10.244.1.5", "1.1.1.1", "tcp", 80), "", "", "masquerade: 10.244.1.5 is in @masq4 (10.244.0.0/16), 1.1.1.1 is not in @pools4 or @exclude4"},
		{masq + "meta l4proto tcp masquerade to :32768-60999 fully-random", packet("10.244.1.5", "1.1.1.1", "udp", 80), "", "", "not: "},
		{masq + "snat ip to 198.51.100.7 fully-random", packet("10.244.1.5", "1.1.1.1", "udp", 80), "", "", "snat 198.51.100.7: 10.244.1.5 is in @masq4 (10.244.0.0/16), 1.1.1.1 is not in @pools4 or @exclude4"},
		{"ip6 saddr @pools6 snat ip6 to [2001:db8::7]:1-9", packet("fd00::1", "2001:db8::1", "udp", 80), "", "", "snat 2001:db8::7: fd00::1 is in @pools6 (fd00::/112)"},
		{"ip saddr != @nodes4 udp dport 4789 drop", packet("172.18.0.9", "172.18.0.2", "udp", 4789), "eth0", "", "drop: 172.18.0.9 is not in @nodes4, udp port 4789"},
		{"ip saddr != @nodes4 udp dport 4789 drop", packet("172.18.0.2", "172.18.0.3", "udp", 4789), "eth0", "", "not: 172.18.0.2 is in @nodes4 (172.18.0.2)"},
		{"ip saddr != @nodes4 udp dport 4789 drop", packet("172.18.0.9", "172.18.0.2", "tcp", 4789), "eth0", "", "not: "},
		{"udp dport 4789 ip daddr @nodes4 ct status dnat drop", packet("172.18.0.9", "172.18.0.2", "udp", 4789), "", "eth0", "not: "},
		{"ip saddr != @nodes4 ip protocol 4 drop", packet("172.18.0.9", "172.18.0.2", "ipip", 0), "eth0", "", "drop: 172.18.0.9 is not in @nodes4, protocol ipip"},
		{`oifname "plumb-*" fib saddr type local fib saddr . oif type != local masquerade fully-random`, packet("10.244.1.0", "10.244.3.1", "icmp", 0), "", "plumb-vxlan", "not: 10.244.1.0 is no address of this node"},
		{"udp dport 1000-2000 accept", packet("10.244.1.5", "1.1.1.1", "udp", 1500), "", "", "accept: udp port 1500"},
		{"ip daddr 1.1.0.0/16 return", packet("10.244.1.5", "1.1.1.1", "udp", 1500), "", "", "return: 1.1.1.1 is in 1.1.0.0/16"},
		{"ip daddr 1.1.1.2 drop", packet("10.244.1.5", "1.1.1.1", "udp", 1500), "", "", "not: 1.1.1.1 is not in 1.1.1.2/32"},
		{"meta nfproto ipv6 drop", packet("10.244.1.5", "1.1.1.1", "udp", 1500), "", "", "not: "},
		{"ct state invalid drop", packet("10.244.1.5", "1.1.1.1", "udp", 1500), "", "", "?ct"},
		{"[payload 1=00000001] drop", packet("10.244.1.5", "1.1.1.1", "udp", 1500), "", "", "?[payload"},
	} {
		r := reading{n: n, in: c.in, out: c.out, packet: c.p}
		v := r.rule(c.rule)
		got := "not: " + v.why
		switch {
		case v.unknown != "":
			got = "?" + v.unknown
		case v.matches:
			got = v.verdict
			if v.to.IsValid() {
				got += " " + v.to.String()
			}
			got += ": " + joined(v.because)
		}
		if got != c.want {
			t.Errorf("%s from %s:\n%s\nwant\n%s", c.rule, c.p.Src, got, c.want)
		}
	}
}

// FuzzRules: whatever text a kernel gives, reading it ends, and never panics.
func FuzzRules(f *testing.F) {
	f.Add(`iifname "plb*" fib saddr . iif oif missing drop`)
	f.Add("ip saddr != @nodes4 udp dport 4789 drop")
	f.Add(`ip saddr "`)
	f.Add("fib")
	f.Fuzz(func(_ *testing.T, s string) {
		r := reading{n: &facts.Node{}, packet: packet("10.0.0.1", "10.0.0.2", "udp", 1)}
		r.rule(s)
	})
}
