package bgp_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
)

// Limits and timers change while the session lives: a limit at once, and a hold time
// when the session is opened next.
func TestAdjust(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Restart: 60, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		r.Announce("10.244.3.0/24")
		n := open(t, bgp.Options{LimitRetry: time.Hour})
		p := peer4(64513)
		want := func() { n.want(speaker(64512), p) }
		want()
		n.learns("10.244.2.0/24", far4)
		n.learns("10.244.3.0/24", far4)
		first := n.established(far4)
		p.HoldTime, p.RestartTime, p.MaxPrefixes = 42, 60, 3
		want()
		r.Announce("10.244.4.0/24")
		n.learns("10.244.4.0/24", far4)
		if s := n.session(far4); !s.Since.Equal(first.Since) || s.HoldTime != first.HoldTime || s.HoldTime == 42 {
			t.Errorf("the session was touched: %+v", s)
		}
		p.MaxPrefixes = 2
		want()
		n.learns("10.244.2.0/24")
		if n.up(far4) {
			t.Error("up with more prefixes than are allowed from now on")
		}
		bgptest.Eventually(t, "it is said", func() bool { return n.log.has("more prefixes than maxPrefixes allows") })
		p.MaxPrefixes = 0
		want()
		n.learns("10.244.4.0/24", far4) // within the hour
		if s := n.session(far4); s.HoldTime != 42 {
			t.Errorf("the next session: %+v", s)
		}
		if s := n.session(far4); s.LastError == "" || s.ErrorAt.IsZero() {
			t.Errorf("why it ended last is forgotten: %+v", s)
		}
	})
}

// What is offered to dynamic neighbours changes for those that are there, too.
func TestAdjustDynamicNeighbours(t *testing.T) {
	alone(t, func(t *testing.T) {
		r := bgptest.BIRD(t, wire(t), bgptest.Config{ASN: 64512, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{LimitRetry: time.Hour})
		p := peer4(64512)
		p.Address, p.Prefix, p.MaxPrefixes = netip.Addr{}, prefix("192.0.2.0/24"), 1
		n.want(speaker(64512), p)
		n.learns("10.244.2.0/24", far4)
		since := n.established(far4).Since
		p.MaxPrefixes, p.HoldTime = 2, 42
		n.want(speaker(64512), p)
		r.Announce("10.244.3.0/24")
		n.learns("10.244.3.0/24", far4)
		if s := n.session(far4); !s.Since.Equal(since) {
			t.Errorf("the session was touched: %+v", s)
		}
		p.MaxPrefixes = 1
		n.want(speaker(64512), p)
		n.learns("10.244.2.0/24")
		bgptest.Eventually(t, "it is held off", func() bool { return n.log.has("more prefixes than maxPrefixes allows") })
		p.MaxPrefixes = 5
		n.want(speaker(64512), p)
		n.learns("10.244.3.0/24", far4)
		if s := n.established(far4); s.HoldTime != 42 {
			t.Errorf("the next session: %+v", s)
		}
	})
}

// A speaker that begins anew offers the same to dynamic neighbours, and knows no session
// that is down for too many prefixes: what waited for such a one does not end the next.
func TestLimitEndsWithTheSpeaker(t *testing.T) {
	alone(t, func(t *testing.T) {
		r := bgptest.BIRD(t, wire(t), bgptest.Config{ASN: 64512, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		r.Announce("10.244.3.0/24")
		const retry = 10 * time.Second
		n := open(t, bgp.Options{LimitRetry: retry})
		sp, p := speaker(64512), peer4(64512)
		p.Address, p.Prefix, p.MaxPrefixes = netip.Addr{}, prefix("192.0.2.0/24"), 1
		n.want(sp, p)
		over := time.Now()
		bgptest.Eventually(t, "it is held off", func() bool { return n.log.has("more prefixes than maxPrefixes allows") })
		time.Sleep(time.Second)
		sp.RouterID = addr("192.0.2.9")
		p.MaxPrefixes = 0
		n.want(sp, p)
		n.learns("10.244.3.0/24", far4)
		since := n.established(far4).Since
		time.Sleep(time.Until(over.Add(retry + 5*time.Second)))
		if s := n.session(far4); s.State != bgp.Established || !s.Since.Equal(since) {
			t.Errorf("the session was ended: %+v", s)
		}
	})
}

// A session that a change of its own or of the speaker resets says so, also when it is
// up again.
func TestResetIsSaid(t *testing.T) {
	alone(t, func(t *testing.T) {
		r := bgptest.BIRD(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{})
		sp, p := speaker(64512), peer4(64513)
		n.want(sp, p)
		n.learns("10.244.2.0/24", far4)
		n.established(far4)
		says := func(what string) {
			t.Helper()
			bgptest.Eventually(t, "up again, with the reason", func() bool {
				s := n.session(far4)
				return s.State == bgp.Established && s.LastError == "reset by a change of "+what && !s.ErrorAt.IsZero()
			}, func() string { return fmt.Sprintf("%+v", n.session(far4)) })
			if !n.log.has(`msg="BGP session down" peer=peer address=192.0.2.2 why="reset by a change of ` + what) {
				t.Error("the log does not say so")
			}
		}
		p.IPv6, p.Source = false, addr(near4)
		n.want(sp, p)
		says("source, families")
		sp.RouterID = addr("192.0.2.9")
		n.want(sp, p)
		says("router-id")
	})
}
