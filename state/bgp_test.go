package state

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// fullPeer has every field set, though no peer has both an address and a prefix.
var fullPeer = BGPPeer{
	Name: "tor", Address: netip.MustParseAddr("192.0.2.1"), Prefix: netip.MustParsePrefix("192.0.2.0/24"), ASN: 64496,
	LocalASN: 65000, Port: 1179, Source: netip.MustParseAddr("172.18.0.3"), Passive: true, TTL: 2, MinTTL: 254,
	PasswordFile: "/etc/plumb/tor", PasswordID: "6f1c", ClusterID: netip.MustParseAddr("192.0.2.9"), NextHopSelf: true,
	NextHop4: netip.MustParseAddr("172.18.0.3"), NextHop6: netip.MustParseAddr("fd00::3"), MaxPrefixes: 1000, IPv4: true, IPv6: true,
	Import: "from-tor", Export: "to-tor", Reflect: true, HoldTime: 90, RestartTime: 120,
}

func TestBGPLines(t *testing.T) {
	for _, c := range []struct {
		object Object
		line   string
	}{
		{
			BGPSpeaker{
				ASN: 64512, RouterID: netip.MustParseAddr("172.18.0.3"), ListenPort: -1,
				Pools: NewPrefixes(netip.MustParsePrefix("fd00::/48"), netip.MustParsePrefix("10.244.0.0/16")),
			},
			"bgp speaker asn 64512 router-id 172.18.0.3 listen never pools 10.244.0.0/16,fd00::/48",
		},
		{
			BGPPeer{Name: "worker2", Address: netip.MustParseAddr("172.18.0.4"), ASN: 64512, IPv4: true, IPv6: true, HoldTime: 90, RestartTime: 120},
			"bgp-peer worker2 address 172.18.0.4 asn 64512 families ipv4,ipv6 hold-time 90 restart-time 120",
		},
		{BGPPrefix{Prefix: netip.MustParsePrefix("10.244.1.0/24")}, "bgp-prefix 10.244.1.0/24"},
		{
			BGPFilter{Name: "f", Rules: NewRules([]BGPRule{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Verdict: Accept}, {Verdict: Reject}})},
			"bgp-filter f { prefix 10.0.0.0/8 accept; reject } default reject",
		},
	} {
		if got := String(c.object); got != c.line {
			t.Errorf("got  %s\nwant %s", got, c.line)
		}
	}
}

func TestRulesComeBack(t *testing.T) {
	pref, med := uint32(200), uint32(0)
	rules := []BGPRule{
		{
			Prefix: netip.MustParsePrefix("10.0.0.0/8"), MinLength: 16, MaxLength: 24, Communities: []string{"64496:100", "64496:1:2"},
			ASPath: `^64496 "x" ; accept$`, NextHop: netip.MustParsePrefix("192.0.2.1/32"), Source: netip.MustParsePrefix("192.0.2.0/24"),
			LocalPref: &pref, MED: &med, AddCommunities: []string{"64512:1"}, Prepend: 2, Verdict: Accept,
		},
		{Prefix: netip.MustParsePrefix("::/0"), Verdict: Next},
		{Verdict: Reject},
	}
	text := NewRules(rules)
	got, err := text.List()
	if err != nil {
		t.Fatal(err)
	}
	rules[0].Communities = []string{"64496:1:2", "64496:100"} // sorted
	if !reflect.DeepEqual(got, rules) {
		t.Errorf("%s\ngave %+v\nwant %+v", text, got, rules)
	}
	if list, err := Rules("").List(); err != nil || list != nil {
		t.Errorf("no rules gave %v, %v", list, err)
	}
	for _, bad := range []Rules{"prefix x accept", "accept; prefix", "prefix 10.0.0.0/8", "local-pref x accept", `as-path "^1 accept`, "colour red accept"} {
		if _, err := bad.List(); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// A field of a session that is not named here is one that nobody has thought
// about.
func TestResets(t *testing.T) {
	never := []string{"Name", "PasswordFile", "NextHopSelf", "NextHop4", "NextHop6", "Import", "Export", "Reflect", "MaxPrefixes"}
	later := []string{"HoldTime", "RestartTime"}
	identity := []string{"Address", "Prefix"} // another session
	active := fullPeer
	active.Passive = false
	changeEachField(t, active, reflect.ValueOf(active), func(changed Object, name string) {
		want := !slices.Contains(never, name) && !slices.Contains(identity, name) && !slices.Contains(later, name)
		if got := active.Later(changed.(BGPPeer)); (len(got) > 0) != slices.Contains(later, name) {
			t.Errorf("a change of %s counts later: %v", name, got)
		}
		if name == "Passive" || name == "RestartTime" {
			return // as it was; to or from none
		}
		if got := active.Resets(changed.(BGPPeer)); (len(got) > 0) != want {
			t.Errorf("a change of %s resets: %v", name, got)
		}
	})
	if got := strings.Join(BGPResets(active, fullPeer), " "); got != "passive" {
		t.Errorf("to call, and to be called: %q", got)
	}
	ungraceful := active
	ungraceful.RestartTime = 0
	if got := BGPResets(active, ungraceful); !slices.Equal(got, []string{"restart-time"}) {
		t.Errorf("no graceful restart any more: %q", got)
	}
	implicit := active
	implicit.Port = 0
	explicit := active
	explicit.Port = 179
	if got := BGPResets(implicit, explicit); got != nil {
		t.Errorf("port 179 said is another than port 179 not said: %v", got)
	}
	s := BGPSpeaker{ASN: 1, ListenPort: 1}
	if got := BGPResets(s, BGPSpeaker{ASN: 2, ListenPort: 1}); !slices.Equal(got, []string{"asn"}) {
		t.Errorf("got %v", got)
	}
	if got := BGPResets(s, nil); got != nil {
		t.Errorf("got %v", got)
	}
}

// What is read of any text is written and read again as the same.
func FuzzRules(f *testing.F) {
	f.Add(`prefix 10.0.0.0/8 16-24 community 1:2,1:2:3 as-path "^1 \"_;" next-hop 10.0.0.1/32 source ::/0 local-pref 1 med 0 add-community 1:1 prepend 2 accept; reject`)
	f.Add(`next; prefix ::/0 0-0 reject`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Rules(text).List()
		if err != nil {
			return
		}
		canonical := NewRules(list)
		again, err := canonical.List()
		if err != nil || NewRules(again) != canonical {
			t.Errorf("%q became %q, and that %q: %v", text, canonical, NewRules(again), err)
		}
	})
}
