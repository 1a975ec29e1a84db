package bgp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/state"
)

// A policy that cannot be put in place leaves all as it was. With the next try the new
// sessions are made, and what the policy changes counts for those that were there.
func TestPolicyThatFails(t *testing.T) {
	alone(t, func(t *testing.T) {
		r := bgptest.BIRD(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{})
		p, another := peer4(64513), peer4(64514)
		another.Name, another.Address, another.Passive = "another", addr("192.0.2.9"), true
		own := state.BGPPrefix{Prefix: prefix("10.244.1.0/24")}
		n.want(speaker(64512), p, own)
		has(t, r, "10.244.1.0/24", true)
		n.learns("10.244.2.0/24", far4)

		var paths []string // more than there are marks for
		for i := range 10000 {
			paths = append(paths, fmt.Sprintf(`as-path "^%d$" accept`, i+1))
		}
		p.Export = "out"
		err := n.try(speaker(64512), p, another, own, rules(t, "out", false, paths...))
		if err == nil || !strings.Contains(err.Error(), "BGP policy") {
			t.Fatalf("it failed with %v", err)
		}
		if s := n.session("192.0.2.9"); s.Name != "" {
			t.Errorf("a session without a policy: %+v", s)
		}
		if !n.up(far4) || n.route("10.244.2.0/24") == nil || !r.Has("10.244.1.0/24") {
			t.Error("what was there is gone")
		}
		n.want(speaker(64512), p, another, own, rules(t, "out", false, "reject"))
		if s := n.session("192.0.2.9"); s.Name != "another" {
			t.Errorf("the session is not made: %+v", s)
		}
		has(t, r, "10.244.1.0/24", false)
		if !n.up(far4) {
			t.Error("the session ended")
		}
	})
}
