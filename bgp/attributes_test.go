package bgp_test

import (
	"bytes"
	"slices"
	"testing"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// What is not known is passed on where its sender wants it passed on, with the bit
// that says that somebody did not know it (RFC 4271, section 5).
func TestUnknownAttributesArePassedOn(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		from := peer4(64513)
		from.Name, from.Address, from.Passive = "from", addr("127.0.0.9"), true
		inside := peer4(64512)
		inside.Name, inside.Address, inside.Passive, inside.ClusterID, inside.Reflect = "inside", addr("127.0.0.7"), true, addr("192.0.2.1"), true
		outside := peer4(64514)
		outside.Name, outside.Address, outside.Passive, outside.Export = "outside", addr("127.0.0.8"), true, "all"
		inside.Export = "all"
		n.want(speaker(64512), from, inside, outside, rules(t, "all", true))
		readers := []*raw{
			callFrom(t, "127.0.0.7", opening(64512, "127.0.0.7", 90)),
			callFrom(t, "127.0.0.8", opening(64514, "127.0.0.8", 90)),
		}
		r := call(t)
		community := append([]byte{0xbf}, bytes.Repeat([]byte{7}, 19)...) // specific to IPv6, of a type that is none (RFC 5701)
		r.update(7, slices.Concat([]byte{0xc0, 200, 3, 1, 2, 3, 0x80, 201, 3, 4, 5, 6}, attribute(0xc0, 25, community))...)
		for _, reader := range readers {
			_, body := reader.until(packet.BGP_MSG_UPDATE, 24, 10, 244, 7)
			if !bytes.Contains(body, []byte{0xe0, 200, 3, 1, 2, 3}) {
				t.Errorf("the transitive one is not in % x", body)
			}
			if !bytes.Contains(body, community) {
				t.Errorf("the community is not in % x", body)
			}
			if bytes.Contains(body, []byte{201, 3, 4, 5, 6}) {
				t.Errorf("the one that is not transitive is in % x", body)
			}
		}
	})
}

// A message may have prefixes of both families: the next hop of one is not sent
// with the prefixes of the other.
func TestBothFamiliesInOneUpdate(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		from, to := peer4(64513), peer4(64514)
		from.Name, from.Address, from.Passive = "from", addr("127.0.0.9"), true
		to.Name, to.Address, to.Passive, to.Export = "to", addr("127.0.0.8"), true, "all"
		n.want(speaker(64512), from, to, rules(t, "all", true))
		reader := callFrom(t, "127.0.0.8", opening(64514, "127.0.0.8", 90))
		hop := addr("fd00::9").As16()
		reach := append(append([]byte{0, 2, 1, 16}, hop[:]...), 0, 64, 0xfd, 0, 0, 0x10, 2, 0x44, 0, 7)
		r := call(t)
		r.update(7, attribute(0x80, byte(packet.BGP_ATTR_TYPE_MP_REACH_NLRI), reach)...)
		n.learns("10.244.7.0/24", "127.0.0.9")
		n.learns("fd00:10:244:7::/64", "fd00::9")
		_, body := reader.until(packet.BGP_MSG_UPDATE, 64, 0xfd, 0, 0, 0x10, 2, 0x44, 0, 7)
		if body == nil || bytes.Contains(body, []byte{0x40, 3}) {
			t.Errorf("NEXT_HOP is in % x", body)
		}
	})
}

// A peer that restarts and comes back without graceful restart will send no
// End-of-RIB: what it had announced before does not stay.
func TestRestartIsTakenBack(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := hostile(t)
		family := []*packet.CapGracefulRestartTuple{packet.NewCapGracefulRestartTuple(packet.RF_IPv4_UC, true)}
		r := callFrom(t, "127.0.0.9", opening(64513, "127.0.0.9", 90, packet.NewCapGracefulRestart(false, false, 120, family)))
		r.update(2)
		n.learns("10.244.2.0/24", "127.0.0.9")
		r.c.Close()
		bgptest.Eventually(t, "the peer restarts", func() bool { return n.session("127.0.0.9").Restarting })
		if got := n.route("10.244.2.0/24"); !slices.Equal(got, []string{"127.0.0.9"}) {
			t.Errorf("while it restarts there is %v", got)
		}
		call(t).update(3)
		n.learns("10.244.3.0/24", "127.0.0.9")
		n.learns("10.244.2.0/24")
		if n.session("127.0.0.9").Restarting {
			t.Error("it is still said to restart")
		}
	})
}

// To look at the sessions changes nothing of what was received: a filter that is
// changed afterwards has the routes as the peer announced them.
func TestLookingChangesNothing(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		p := peer4(64513)
		p.Address, p.Passive, p.Import = addr("127.0.0.9"), true, "in"
		n.want(speaker(64512), p, rules(t, "in", false, `as-path "." prepend 2 accept`))
		r := call(t)
		r.update(2)
		n.learns("10.244.2.0/24", "127.0.0.9")
		if s := n.established("127.0.0.9"); s.Families[0].Accepted != 1 || len(destinations(t, n)["10.244.2.0/24"].ASPath) != 3 {
			t.Fatalf("there are %+v and %+v", s.Families, destinations(t, n))
		}
		n.want(speaker(64512), p, rules(t, "in", false, `as-path "." med 7 accept`))
		bgptest.Eventually(t, "the filter is another", func() bool { return destinations(t, n)["10.244.2.0/24"].MED == 7 })
		if path := destinations(t, n)["10.244.2.0/24"].ASPath; !slices.Equal(path, []uint32{64513}) {
			t.Errorf("the AS path is %v", path)
		}
	})
}

// Attributes that fill a message grow on their way: where they no longer fit, the
// peers do not get the route, lose what they had of it, and the log says so.
func TestAttributesThatDoNotFit(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		from, to := peer4(64513), peer4(64514)
		from.Name, from.Address, from.Passive = "from", addr("127.0.0.9"), true
		to.Name, to.Address, to.Passive, to.Export = "to", addr("127.0.0.8"), true, "all"
		n.want(speaker(64512), from, to, rules(t, "all", true))
		reader := callFrom(t, "127.0.0.8", opening(64514, "127.0.0.8", 90, packet.NewCapFourOctetASNumber(64514)))
		r := call(t)
		// AS numbers of two bytes go out with four.
		path := attribute(0x40, byte(packet.BGP_ATTR_TYPE_AS_PATH), append([]byte{2, 40}, bytes.Repeat([]byte{0xfc, 1}, 40)...))
		for _, attributes := range [][]byte{slices.Concat(usual[:4], path, usual[11:]), usual} {
			r.update(7)
			reader.until(packet.BGP_MSG_UPDATE, 24, 10, 244, 7)
			fill := attribute(0xc0, 200, make([]byte, 4096-19-4-4-4-len(attributes)))
			r.send(packet.BGP_MSG_UPDATE, updateBody(slices.Concat(attributes, fill), 24, 10, 244, 7))
			if body := reader.next(packet.BGP_MSG_UPDATE); !bytes.Equal(body, []byte{0, 4, 24, 10, 244, 7, 0, 0}) {
				t.Errorf("it was sent % x", body)
			}
		}
		if !n.log.has("the peer does not get its routes") {
			t.Error("the log does not say it")
		}
	})
}
