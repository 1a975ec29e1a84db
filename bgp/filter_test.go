package bgp_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/state"
)

// ribOf gives the first path of a prefix.
func (n *node) rib(p string) (bgp.RIBPath, bool) {
	var out bgp.RIBPath
	found := false
	if err := n.RIB(n.t.Context(), prefix(p), func(d bgp.Destination) {
		if d.Prefix == prefix(p) {
			out, found = d.Paths[0], true
		}
	}); err != nil {
		n.t.Error(err)
	}
	return out, found
}

// Import filters by community and AS path; a change of the filter takes effect on
// routes that are there, and the session lives on.
func TestImportFilter(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.1.0.0/16", "64513:100")
		r.Announce("10.2.0.0/16", "64513:200")
		r.Announce("10.3.0.0/16", "64513:1:2")
		r.Announce("10.4.0.0/16")
		n := open(t, bgp.Options{})
		p := peer4(64513)
		p.Import = "f"
		f := rules(t, "f", false,
			`prefix 10.0.0.0/8 8-24 community 64513:100 as-path "^64513$" local-pref 200 med 7 add-community 64512:1,64512:5:6 prepend 2 accept`,
			`community 64513:1:2 accept`, `as-path "^64999" accept`)
		n.want(speaker(64512), p, f)
		n.learns("10.1.0.0/16", far4)
		n.learns("10.3.0.0/16", far4)
		since := n.established(far4).Since
		got, _ := n.rib("10.1.0.0/16")
		if got.LocalPref != 200 || got.MED != 7 || len(got.ASPath) != 3 || !strings.Contains(strings.Join(got.Communities, " "), "64512:1") ||
			!strings.Contains(strings.Join(got.Communities, " "), "64512:5:6") {
			t.Errorf("set: %+v", got)
		}
		f = rules(t, "f", false, `community 64513:100 reject`, `next-hop 192.0.2.2/32 source 192.0.2.0/24 as-path "_64513_" accept`)
		n.want(speaker(64512), p, f)
		n.learns("10.1.0.0/16")
		n.learns("10.2.0.0/16", far4)
		n.learns("10.4.0.0/16", far4)
		n.want(speaker(64512), p, rules(t, "f", true))
		n.learns("10.1.0.0/16", far4)
		if now := n.session(far4).Since; now != since {
			t.Error("the session was not left alone")
		}
	})
}

// Export filters: a change announces and withdraws at once what was sent already,
// for what this node originates, without touching the session.
func TestExportFilter(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		n := open(t, bgp.Options{})
		p := peer4(64513)
		own := []state.Object{
			state.BGPPrefix{Prefix: prefix("10.244.1.0/24")},
			state.BGPPrefix{Prefix: prefix("203.0.113.0/24"), Communities: "64512:200"},
			state.BGPPrefix{Prefix: prefix("fd00:10:244:1::/64")},
		}
		want := func(p state.BGPPeer, more ...state.Object) {
			t.Helper()
			n.want(append(append([]state.Object{speaker(64512), p}, own...), more...)...)
		}
		want(p)
		has(t, r, "203.0.113.0/24", true)
		has(t, r, "fd00:10:244:1::/64", true)
		since := n.established(far4).Since
		p.Export = "out"
		for i := range 3 { // through every generation
			want(p, rules(t, "out", false, `community 64512:200 med 9 add-community 64512:7,64512:8:9 prepend 2 accept`))
			has(t, r, "10.244.1.0/24", false)
			has(t, r, "fd00:10:244:1::/64", false)
			has(t, r, "203.0.113.0/24", true)
			bgptest.Eventually(t, "the communities are sent", func() bool {
				s := strings.NewReplacer("(", "", ")", "", ", ", ":", ",", ":").Replace(r.Show("203.0.113.0/24"))
				return strings.Contains(s, "64512:7") && strings.Contains(s, "64512:8:9") && strings.Contains(s, "64512:200")
			}, func() string { return r.Show("203.0.113.0/24") })
			if s := r.Show("203.0.113.0/24"); strings.Contains(s, "65535") {
				t.Errorf("round %d: a mark was sent:\n%s", i, s)
			}
			want(p, rules(t, "out", false, `prefix 10.244.0.0/16 24-24 accept`, `as-path "." accept`, `source 0.0.0.0/0 accept`))
			has(t, r, "203.0.113.0/24", false)
			has(t, r, "10.244.1.0/24", true)
		}
		p.Export = ""
		want(p)
		has(t, r, "203.0.113.0/24", true)
		has(t, r, "fd00:10:244:1::/64", true)
		if now := n.session(far4).Since; now != since {
			t.Error("the session was not left alone")
		}
	})
}

// What one peer announces goes to another only where a filter says so, and goes
// again when the filter changes.
func TestTransit(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		a := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		const nearB, farB = "198.51.100.1", "198.51.100.2"
		b := start(t, bgptest.NewHost(t, "second", []string{nearB + "/24"}, []string{farB + "/24"}), bgptest.Config{
			ASN: 64514, RouterID: farB, Peers: []bgptest.Peer{{Address: nearB, Local: farB, ASN: 64512, IPv4: true}},
		})
		a.Announce("10.1.0.0/16", "64513:100")
		a.Announce("10.2.0.0/16")
		n := open(t, bgp.Options{})
		pa, pb := peer4(64513), peer4(64514)
		pb.Name, pb.Address, pb.IPv6 = "b", addr(farB), false
		pa.Import = "all"
		all := rules(t, "all", true)
		n.want(speaker(64512), pa, pb, all, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		n.learns("10.1.0.0/16", far4)
		has(t, b, "10.244.1.0/24", true)
		time.Sleep(200 * time.Millisecond)
		if b.Has("10.1.0.0/16") {
			t.Error("transit without a filter")
		}
		since := n.established(farB).Since
		pb.Export = "out"
		step := func(text string, first, second bool) {
			t.Helper()
			n.want(speaker(64512), pa, pb, all, rules(t, "out", false, text), state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
			has(t, b, "10.1.0.0/16", first)
			has(t, b, "10.2.0.0/16", second)
		}
		step(`as-path "^64513$" accept`, true, true)
		step(`community 64513:100 source 192.0.2.0/24 accept`, true, false)
		step(`community 64513:100 reject; source 192.0.2.2/32 accept`, false, true)
		step(`as-path "^64512" accept`, false, false) // its own is not before the path yet
		step(`next-hop 192.0.2.2/32 prepend 1 accept`, true, true)
		if now := n.session(farB).Since; now != since {
			t.Error("the session was not left alone")
		}
	})
}

// A local preference and a MED of 0 are values like others: the lowest.
func TestZero(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64512, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24", "64512:1")
		n := open(t, bgp.Options{})
		p := peer4(64512)
		p.Import, p.Export = "in", "out"
		want := func(in, out string) {
			t.Helper()
			n.want(speaker(64512), p, rules(t, "in", true, in), rules(t, "out", true, out), state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		}
		want("local-pref 70 med 7 next", "local-pref 60 med 6 next")
		imported := func(pref, med uint32) {
			t.Helper()
			bgptest.Eventually(t, fmt.Sprint("imported with ", pref, " and ", med), func() bool {
				got, ok := n.rib("10.244.2.0/24")
				return ok && got.LocalPref == pref && got.MED == med
			})
		}
		sent := func(pref, med string) {
			t.Helper()
			bgptest.Eventually(t, "sent with "+pref+" and "+med, func() bool {
				s := strings.ToLower(strings.NewReplacer(":", "", "_", "", "{", "", "}", "", ",", "", "metric", "med").Replace(r.Show("10.244.1.0/24")))
				return strings.Contains(s, "localpref "+pref) && strings.Contains(s, "med "+med)
			}, func() string { return r.Show("10.244.1.0/24") })
		}
		imported(70, 7)
		sent("60", "6")
		want("local-pref 0 med 0 next", "local-pref 0 med 0 next")
		imported(0, 0)
		sent("0", "0")
	})
}
