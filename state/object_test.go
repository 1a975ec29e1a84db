package state

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// full has one object of each kind with every field set, so that what a kind
// forgets to print or to save is found.
var full = []Object{
	Link{
		Name: "plumb-vxlan", Type: "vxlan", MAC: "02:00:00:00:00:01", MTU: 1450, Up: true,
		Tunnel: Tunnel{VNI: 4096, Port: 4789, Local: netip.MustParseAddr("172.18.0.3"), Parent: "eth0", Learning: true, Odd: "ttl 5"},
	},
	Sysctl{Path: "net/ipv4/conf/eth0.100/proxy_arp", Value: "1"},
	Neigh{Addr: netip.MustParseAddr("10.0.0.1"), Dev: "plumb-vxlan", MAC: "0a:00:00:00:00:01"},
	Route{
		Dst: netip.MustParsePrefix("10.0.0.0/8"), Table: 100, Metric: 7, Type: Blackhole, Protocol: ProtoBGP, Scope: ScopeLink,
		NextHop:   NextHop{Gateway: netip.MustParseAddr("192.0.2.1"), Dev: "eth0", OnLink: true},
		Multipath: "nexthop dev a", Src: netip.MustParseAddr("192.0.2.9"), MTU: 1400,
	},
	Table{},
	Set{Name: "masq4", Type: "ipv4_addr"},
	Chain{Name: "postrouting", Type: "nat", Hook: "postrouting", Priority: 110, Policy: "accept"},
	Rule{Chain: "postrouting", Pos: 3, Expr: "masquerade"},
	Element{Set: "masq4", From: netip.MustParseAddr("10.0.0.1"), To: netip.MustParseAddr("10.0.0.7")},
	BGPSpeaker{
		ASN: 64512, RouterID: netip.MustParseAddr("192.0.2.1"), ListenPort: 179,
		Pools: "10.0.0.0/8", Own: "10.1.0.0/24",
	},
	BGPFilter{Name: "to-tor", Rules: "prefix 10.0.0.0/8 accept", Accept: true},
	fullPeer,
	BGPPrefix{Prefix: netip.MustParsePrefix("203.0.113.0/24"), NextHop: netip.MustParseAddr("192.0.2.1"), Communities: "64512:1"},
	Address{Prefix: netip.MustParsePrefix("10.244.1.0/32"), Dev: "plumb-vxlan", Peer: netip.MustParseAddr("10.0.0.9"), Odd: "scope link"},
	FDB{MAC: "02:00:00:00:00:02", Dev: "plumb-vxlan", Dst: netip.MustParseAddr("172.18.0.4"), Odd: "port 8472"},
}

// TestEveryFieldIsPrinted sets each field of each kind back to its zero, and
// wants the line to change: a difference that cannot be printed cannot exist.
func TestEveryFieldIsPrinted(t *testing.T) {
	for _, o := range full {
		names := map[string]bool{}
		for _, f := range o.Fields() {
			if names[f.Name] {
				t.Errorf("%s: two fields are named %q", o.Key().Kind, f.Name)
			}
			names[f.Name] = true
		}
		changeEachField(t, o, reflect.ValueOf(o), func(changed Object, name string) {
			if String(changed) == String(o) {
				t.Errorf("%s: field %s is not printed: %s", o.Key().Kind, name, String(o))
			}
			c := Change[Object]{Modify, o, changed}
			if changed.Key() == o.Key() && !strings.Contains(c.String(), "->") {
				t.Errorf("%s: a change of %s is not printed: %s", o.Key().Kind, name, c)
			}
		})
	}
}

func changeEachField(t *testing.T, o Object, v reflect.Value, check func(Object, string)) {
	t.Helper()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Anonymous {
			continue
		}
		// Addresses need a valid value to be printed; another is as good as none.
		other := reflect.Zero(f.Type)
		switch f.Type {
		case reflect.TypeFor[netip.Addr]():
			if f.Name != "Gateway" && f.Name != "Src" {
				other = reflect.ValueOf(netip.MustParseAddr("10.0.0.3"))
			}
		case reflect.TypeFor[netip.Prefix]():
			other = reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/9"))
		}
		changed := reflect.New(v.Type()).Elem()
		changed.Set(v)
		changed.FieldByIndex(f.Index).Set(other)
		check(changed.Interface().(Object), f.Name)
	}
}

func TestSnapshotsComeBack(t *testing.T) {
	s := Snapshot{}
	s.Put(full...)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Snapshot
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, back) {
		t.Errorf("%v\ncame back as\n%v", s, back)
	}
	for _, bad := range []string{
		`null`, `{}`, `[{"kind":"bridge","object":{}}]`, `[{"kind":"route","object":{"colour":1}}]`, `[{"kind":"route","object":7}]`,
	} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestLines(t *testing.T) {
	v6 := netip.MustParsePrefix("fd00::/64")
	for _, c := range []struct {
		object Object
		line   string
	}{
		{NewRoute(netip.MustParsePrefix("10.244.1.5/32"), TableMain, ProtoPlumb, NextHop{Dev: "plb1"}), "route 10.244.1.5/32 dev plb1 scope link proto plumb"},
		{NewRoute(v6, TableMain, ProtoPlumb, NextHop{Dev: "plb1"}), "route fd00::/64 dev plb1 proto plumb"},
		{NewBlackhole(v6, 100, ProtoPlumb), "route blackhole fd00::/64 dev lo table 100 proto plumb"},
		{
			NewRoute(netip.MustParsePrefix("10.0.0.0/8"), TableMain, ProtoBGP,
				NextHop{Gateway: netip.MustParseAddr("192.0.2.2"), Dev: "b"}, NextHop{Gateway: netip.MustParseAddr("192.0.2.1"), Dev: "a", OnLink: true}),
			"route 10.0.0.0/8 nexthop via 192.0.2.1 dev a onlink nexthop via 192.0.2.2 dev b proto plumb-bgp",
		},
		{
			NewRoute(netip.MustParsePrefix("10.0.0.0/8"), TableMain, ProtoBGP, NextHop{Gateway: netip.MustParseAddr("fd00::1"), Dev: "b"}),
			"route 10.0.0.0/8 via inet6 fd00::1 dev b proto plumb-bgp",
		},
		{Link{Name: "plb1", Type: "veth", MAC: HostEndMAC, Up: true}, "link plb1 type veth address ee:ee:ee:ee:ee:ee state up"},
		{full[0], "link plumb-vxlan type vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 learning ttl 5 address 02:00:00:00:00:01 mtu 1450 state up"},
		{
			Link{Name: "plumb-vxlan", Type: "vxlan", MAC: "02:00:00:00:00:01", MTU: 1450, Tunnel: Tunnel{VNI: 7, Port: 8472}},
			"link plumb-vxlan type vxlan id 7 dstport 8472 nolearning address 02:00:00:00:00:01 mtu 1450 state down",
		},
		{
			Link{Name: "plumb-ipip", Type: "ipip", MTU: 1480, Up: true, Tunnel: Tunnel{Local: netip.MustParseAddr("172.18.0.3")}},
			"link plumb-ipip type ipip local 172.18.0.3 mtu 1480 state up",
		},
		{Address{Prefix: netip.MustParsePrefix("10.244.1.0/32"), Dev: "plumb-vxlan"}, "address 10.244.1.0/32 dev plumb-vxlan"},
		{
			FDB{MAC: "02:00:00:00:00:02", Dev: "plumb-vxlan", Dst: netip.MustParseAddr("172.18.0.4")},
			"fdb 02:00:00:00:00:02 dev plumb-vxlan dst 172.18.0.4 self permanent",
		},
		{full[1], "sysctl net.ipv4.conf.eth0/100.proxy_arp = 1"},
		{full[2], "neigh 10.0.0.1 dev plumb-vxlan lladdr 0a:00:00:00:00:01 PERMANENT"},
		{full[6], "chain inet plumb postrouting { type nat hook postrouting priority 110; policy accept; }"},
		{full[8], "element inet plumb masq4 { 10.0.0.1-10.0.0.7 }"},
		{Element{"s", netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("10.0.0.255")}, "element inet plumb s { 10.0.0.0/24 }"},
		{Element{"s", netip.MustParseAddr("::1"), netip.MustParseAddr("::1")}, "element inet plumb s { ::1 }"},
	} {
		if got := String(c.object); got != c.line {
			t.Errorf("got  %s\nwant %s", got, c.line)
		}
	}
}

func TestMultipathComesBack(t *testing.T) {
	hops := []NextHop{
		{Gateway: netip.MustParseAddr("192.0.2.1"), Dev: "a", OnLink: true},
		{Gateway: netip.MustParseAddr("192.0.2.2"), Dev: "b"},
		{Dev: "c"},
	}
	m := NewMultipath(true, []NextHop{hops[1], hops[0], hops[2], hops[1]})
	got, err := m.Hops()
	if err != nil {
		t.Fatal(err)
	}
	if want := []NextHop{hops[2], hops[0], hops[1]}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	six := []NextHop{{Gateway: netip.MustParseAddr("192.0.2.1"), Dev: "a"}, {Gateway: netip.MustParseAddr("fd00::1"), Dev: "b"}}
	for is4, text := range map[bool]Multipath{
		true:  "nexthop via 192.0.2.1 dev a nexthop via inet6 fd00::1 dev b",
		false: "nexthop via 192.0.2.1 dev a nexthop via fd00::1 dev b",
	} {
		if got := NewMultipath(is4, six); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
		if got, err := text.Hops(); err != nil || !reflect.DeepEqual(got, six) {
			t.Errorf("%q came back as %v, %v", text, got, err)
		}
	}
	for _, bad := range []Multipath{"nexthop via inet6", "via 192.0.2.1", "nexthop via x", "nexthop weight 3", "nexthop via"} {
		if _, err := bad.Hops(); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestMergeRanges(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"", ""},
		{"10.0.0.0/24", "10.0.0.0/24"},
		{"10.0.1.0/24 10.0.0.0/24", "10.0.0.0/23"},
		{"10.0.0.0/8 10.1.0.0/16 10.0.0.0/8", "10.0.0.0/8"},
		{"10.0.0.0/24 10.0.1.0/25", "10.0.0.0-10.0.1.127"},
		{"10.0.2.0/24 10.0.0.0/24", "10.0.0.0/24 10.0.2.0/24"},
		{"128.0.0.0/1 0.0.0.0/1", "0.0.0.0/0"},
		{"255.255.255.255/32 255.255.255.254/32", "255.255.255.254/31"},
		{"0.0.0.0/0 255.255.255.255/32", "0.0.0.0/0"},
		{"fd00::/64 fd00:0:0:1::/64", "fd00::/63"},
		{"10.0.0.1/8", "10.0.0.0/8"},
	} {
		var in []netip.Prefix
		for _, p := range strings.Fields(c.in) {
			in = append(in, netip.MustParsePrefix(p))
		}
		var got []string
		for _, e := range MergeRanges("s", in) {
			got = append(got, e.Range())
		}
		if g := strings.Join(got, " "); g != c.out {
			t.Errorf("%q gave %q, not %q", c.in, g, c.out)
		}
	}
}

func TestKeysInTheOrderOfPeople(t *testing.T) {
	for _, c := range [][2]Key{
		{{KindLink, "z"}, {KindRoute, "a"}},
		{{KindRoute, "10.0.0.2/32"}, {KindRoute, "10.0.0.10/32"}},
		{{KindRoute, "9.0.0.0/8"}, {KindRoute, "10.0.0.0/8"}},
		{{KindRule, "postrouting 9"}, {KindRule, "postrouting 10"}},
		{{KindRoute, "10.0.0.0/8"}, {KindRoute, "10.0.0.0/8 table 100"}},
	} {
		if CompareKeys(c[0], c[1]) >= 0 || CompareKeys(c[1], c[0]) <= 0 || CompareKeys(c[0], c[0]) != 0 {
			t.Errorf("%v is to come before %v", c[0], c[1])
		}
	}
}
