package bgp_test

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// hostile opens a speaker with a passive peer at 127.0.0.9, of IPv4 alone.
func hostile(t *testing.T) *node {
	t.Helper()
	n := open(t, bgp.Options{})
	p := peer4(64513)
	p.Address, p.Passive, p.IPv6 = addr("127.0.0.9"), true, false
	n.want(speaker(64512), p)
	return n
}

// A peer that sends what it should not is told apart from the others: the speaker
// says what it saw, goes on, and takes the peer again.
func TestHostilePeer(t *testing.T) {
	t.Parallel()
	const update = packet.BGP_MSG_UPDATE
	for name, c := range map[string]struct {
		send func(*raw)
		log  string // said in the log
		down string // why the session ended; empty: it lives on
		told []byte // the notification's code and subcode
		lost bool   // 10.244.2.0/24 is withdrawn
	}{
		// RFC 4271, section 6.1
		"garbage after OPEN":    {send: func(r *raw) { _, _ = r.c.Write([]byte("GET / HTTP/1.1\r\nHost: node\r\n\r\n")) }, down: "no marker", told: []byte{1, 1}},
		"garbage like a header": {send: func(r *raw) { _, _ = r.c.Write([]byte(strings.Repeat("garbage", 10))) }, down: "connection not synchronized", told: []byte{1, 1}},
		"an impossible length":  {send: func(r *raw) { r.head(3, update) }, down: "bad message length", told: []byte{1, 2}},
		"too long a message":    {send: func(r *raw) { r.head(4097, update) }, down: "length 4097", told: []byte{1, 2}},
		"a short UPDATE":        {send: func(r *raw) { r.head(22, update) }, down: "bad message length", told: []byte{1, 2}},
		"a short NOTIFICATION":  {send: func(r *raw) { r.head(20, packet.BGP_MSG_NOTIFICATION) }, down: "bad message length", told: []byte{1, 2}},
		"a KEEPALIVE with more": {send: func(r *raw) { r.send(packet.BGP_MSG_KEEPALIVE, []byte{1}) }, down: "bad message length", told: []byte{1, 2}},
		"an unknown type":       {send: func(r *raw) { r.send(9, []byte{1, 2, 3}) }, down: "bad message type", told: []byte{1, 3}},
		"type 0":                {send: func(r *raw) { r.send(0, nil) }, down: "bad message type", told: []byte{1, 3}},
		// Messages out of place, and those of which nothing is known.
		"OPEN once more":                {send: func(r *raw) { _, _ = r.c.Write(opening(64513, "127.0.0.9", 90)) }, down: "unexpected message in established", told: []byte{5, 3}},
		"a wish for an unknown family":  {send: func(r *raw) { r.send(packet.BGP_MSG_ROUTE_REFRESH, []byte{0, 99, 0, 99}) }, log: "asks for routes"},
		"a wish for a family not there": {send: func(r *raw) { r.send(packet.BGP_MSG_ROUTE_REFRESH, []byte{0, 2, 0, 1}) }, log: "asks for routes"},
		"an unknown notification":       {send: func(r *raw) { r.send(packet.BGP_MSG_NOTIFICATION, []byte{99, 99, 1, 2, 3}) }, down: "the peer ended the session"},
		"a shutdown without its words":  {send: func(r *raw) { r.send(packet.BGP_MSG_NOTIFICATION, []byte{6, 2, 200, 'x'}) }, down: `administrative shutdown: "x"`},
		// RFC 7606
		"an unknown optional attribute":   {send: func(r *raw) { r.update(7, 0xc0, 200, 3, 1, 2, 3) }},
		"an unknown well-known attribute": {send: func(r *raw) { r.update(8, 0x40, 201, 1, 0) }, down: "unrecognized well known attribute", told: []byte{3, 2}},
		"a MED that is not":               {send: func(r *raw) { r.update(2, 0x80, 4, 3, 0, 0, 1) }, log: "taken for withdrawn", lost: true},
		"an attribute that goes too far":  {send: func(r *raw) { r.update(2, 0xc0, 8, 9, 1, 2, 3, 4) }, log: "taken for withdrawn", lost: true},
		"half an attribute":               {send: func(r *raw) { r.update(2, 0xc0, 8) }, log: "taken for withdrawn", lost: true},
		"wrong flags":                     {send: func(r *raw) { r.update(2, 0xc0, 4, 4, 0, 0, 0, 1) }, log: "taken for withdrawn", lost: true},
		"no next hop":                     {send: func(r *raw) { r.send(update, updateBody(usual[:11], 24, 10, 244, 2)) }, log: "taken for withdrawn", lost: true},
		"a next hop of IPv6": {send: func(r *raw) {
			r.send(update, updateBody(append(slices.Clone(usual[:11]), attribute(0x40, 3, append([]byte{0xfd}, make([]byte, 15)...))...), 24, 10, 244, 2))
		}, log: "invalid nexthop", lost: true},
		"AS 0": {send: func(r *raw) {
			r.send(update, updateBody(append([]byte{0x40, 1, 1, 0, 0x40, 2, 6, 2, 2, 0xfc, 1, 0, 0}, usual[11:]...), 24, 10, 244, 2))
		}, log: "AS 0", lost: true},
		"an attribute twice":  {send: func(r *raw) { r.update(2, usual[:4]...) }, log: "discarded"},
		"an aggregator short": {send: func(r *raw) { r.update(2, 0xc0, 7, 1, 1) }, log: "discarded"},
		"a truncated update":  {send: func(r *raw) { r.send(update, []byte{0, 9, 1, 0}) }, down: "malformed", told: []byte{3, 1}},
		"a prefix of 33 bits": {send: func(r *raw) { r.send(update, updateBody(usual, 33, 10, 244, 2, 0, 0)) }, down: "too long", told: []byte{3, 1}},
		"a family that was not negotiated": {send: func(r *raw) {
			r.update(2, attribute(0x80, 14, append(append([]byte{0, 2, 1, 16, 0xfd}, make([]byte, 15)...), 0, 16, 0xfd, 0))...)
		}, log: "not negotiated"},
		"a family that nobody knows": {send: func(r *raw) { r.update(2, 0x80, 14, 5, 0, 99, 99, 0, 0) }, log: "discarded"},
		"a withdrawal of such a family, which is no End-of-RIB": {send: func(r *raw) {
			r.send(update, updateBody(attribute(0x80, 15, []byte{0, 2, 1, 16, 0xfd, 0})))
		}, log: "not negotiated"},
		"a next hop that does not fit": {send: func(r *raw) {
			r.update(2, attribute(0x80, 14, []byte{0, 1, 1, 5, 1, 2, 3, 4, 5, 0, 24, 10, 244, 2})...)
		}, down: "next", told: []byte{3, 5}},
		"a local preference from outside": {send: func(r *raw) { r.update(2, 0x40, 5, 4, 0xff, 0, 0, 0) }},
		"withdrawn and announced": {send: func(r *raw) {
			body := append([]byte{0, 4, 24, 10, 244, 2}, updateBody(usual, 24, 10, 244, 2)[2:]...)
			r.send(update, body)
		}},
		"an attribute that cannot be shown": {send: func(r *raw) { r.update(2, attribute(0xc0, 25, append([]byte{0, 99}, make([]byte, 18)...))...) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				n := hostile(t)
				r := call(t)
				r.update(2)
				// Routes to this node's own loopback are for tests alone.
				n.learns("10.244.2.0/24", "127.0.0.9")
				n.established("127.0.0.9")
				c.send(r)
				if c.down != "" {
					bgptest.Eventually(t, "the session ends", func() bool { return !n.up("127.0.0.9") })
					if s := n.session("127.0.0.9"); !strings.Contains(s.LastError, c.down) {
						t.Errorf("why: %q", s.LastError)
					}
					if told := r.told(); c.told != nil && !bytes.HasPrefix(told, c.told) {
						t.Errorf("it was told %v", told)
					}
					r = call(t)
				}
				r.update(3)
				n.learns("10.244.3.0/24", "127.0.0.9")
				if c.log != "" && !n.log.has(c.log) {
					t.Error("the log does not say it")
				}
				if c.down == "" && (len(n.route("10.244.2.0/24")) == 0) != c.lost {
					t.Errorf("10.244.2.0/24 has the next hops %v", n.route("10.244.2.0/24"))
				}
				if destinations(t, n)["10.244.2.0/24"].LocalPref > 100 {
					t.Error("it was given preference from outside")
				}
				if n.log.has("End-of-RIB") {
					t.Error("End-of-RIB was read into it")
				}
			})
		})
	}
}

func destinations(t *testing.T, n *node) map[string]bgp.RIBPath {
	t.Helper()
	out := map[string]bgp.RIBPath{}
	if err := n.RIB(t.Context(), prefix("0.0.0.0/0"), func(d bgp.Destination) { out[d.Prefix.String()] = d.Paths[0] }); err != nil {
		t.Fatal(err)
	}
	return out
}

// What does not open a session is said too, and answered as RFC 4271 and 6608 have it.
func TestHostileOpening(t *testing.T) {
	t.Parallel()
	good := opening(64513, "127.0.0.9", 90)
	short := func(b []byte, cut int) []byte { return message(packet.BGP_MSG_OPEN, b[19:len(b)-cut]) }
	for name, c := range map[string]struct {
		send [][]byte
		why  string
		told []byte
	}{
		"another protocol":      {send: [][]byte{[]byte("SSH-2.0-OpenSSH_9.2p1 Debian\r\n")}, why: "connection not synchronized", told: []byte{1, 1}},
		"UPDATE before OPEN":    {send: [][]byte{message(packet.BGP_MSG_UPDATE, updateBody(usual, 24, 10, 244, 7))}, why: "opensent", told: []byte{5, 1}},
		"KEEPALIVE before OPEN": {send: [][]byte{message(packet.BGP_MSG_KEEPALIVE, nil)}, why: "opensent", told: []byte{5, 1}},
		"UPDATE after OPEN":     {send: [][]byte{good, message(packet.BGP_MSG_UPDATE, updateBody(usual, 24, 10, 244, 7))}, why: "openconfirm", told: []byte{5, 2}},
		"NOTIFICATION":          {send: [][]byte{message(packet.BGP_MSG_NOTIFICATION, []byte{2, 2})}, why: "the peer ended the session: open, bad peer as"},
		"NOTIFICATION late":     {send: [][]byte{good, message(packet.BGP_MSG_NOTIFICATION, []byte{6, 5})}, why: "the peer ended the session: cease, connection rejected"},
		"another AS":            {send: [][]byte{opening(64999, "127.0.0.9", 90)}, why: "expected 64513, received 64999", told: []byte{2, 2}},
		"this node's ID, none":  {send: [][]byte{opening(64513, "0.0.0.0", 90)}, why: "bad bgp identifier", told: []byte{2, 3}},
		"a hold time of 1":      {send: [][]byte{opening(64513, "127.0.0.9", 1)}, why: "hold time", told: []byte{2, 6}},
		"parameters cut off":    {send: [][]byte{short(good, 3)}, why: "bad message length", told: []byte{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				n := hostile(t)
				r := &raw{t: t}
				bgptest.Eventually(t, "an answer", func() bool {
					var err error
					if r.c, err = dial("127.0.0.9"); err != nil {
						return false
					}
					for _, b := range c.send {
						_, _ = r.c.Write(b)
					}
					kind, _, err := r.read()
					return err == nil && kind == packet.BGP_MSG_OPEN
				})
				defer r.c.Close()
				if told := r.told(); c.told != nil && !bytes.HasPrefix(told, c.told) {
					t.Errorf("it was told %v", told)
				}
				bgptest.Eventually(t, "it is said why", func() bool {
					return strings.Contains(n.session("127.0.0.9").LastError, c.why)
				}, func() string { return n.session("127.0.0.9").LastError })
				bgptest.Eventually(t, "the log says it", func() bool { return n.log.has("does not come up") })
				call(t).update(3)
				n.learns("10.244.3.0/24", "127.0.0.9")
			})
		})
	}
}

// Capabilities that nobody can read, or that are not text, are no matter: neither
// for the session nor for those who look at it.
func TestOddCapabilities(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := hostile(t)
		r := callFrom(t, "127.0.0.9", opening(64513, "127.0.0.9", 90,
			packet.NewCapFQDN("\xff\xfe", "\xff"), packet.NewCapSoftwareVersion("\xff\xfe"),
			packet.NewCapUnknown(packet.BGP_CAP_ADD_PATH, []byte{0, 1, 1}), packet.NewCapUnknown(packet.BGP_CAP_GRACEFUL_RESTART, nil),
			packet.NewCapUnknown(packet.BGP_CAP_FQDN, []byte{200}), packet.NewCapUnknown(200, []byte("what?"))))
		r.update(3)
		n.learns("10.244.3.0/24", "127.0.0.9")
		n.established("127.0.0.9")
	})
}

// A hold time of zero is a session without keepalives (RFC 4271, section 4.2): what
// is announced goes out nevertheless.
func TestNoHoldTime(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := hostile(t)
		r := callFrom(t, "127.0.0.9", opening(64513, "127.0.0.9", 0))
		n.want(append(slices.Collect(maps.Values(n.have)), state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})...)
		if _, body := r.until(packet.BGP_MSG_UPDATE, 24, 10, 244, 1); body == nil {
			t.Error("nothing was announced")
		}
	})
}

// A neighbour without a configuration of its own that calls and says nothing is not
// kept in mind: the next time it is taken at once.
func TestSilentNeighbour(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{OpenWait: time.Second})
		p := peer4(64513)
		p.Prefix, p.Address, p.IPv6 = prefix("127.0.0.0/24"), netip.Addr{}, false
		n.want(speaker(64512), p)
		for range 2 {
			c, err := dial("127.0.0.9")
			if err != nil {
				t.Fatal(err)
			}
			(&raw{t: t, c: c}).told()
			c.Close()
		}
		// On a slow machine a second may be too short for one that speaks, too.
		bgptest.Eventually(t, "it is taken", func() bool {
			call(t).update(3)
			return bgptest.Within(2*time.Second, func() bool { return n.route("10.244.3.0/24") != nil })
		}, n.log.String)
	})
}
