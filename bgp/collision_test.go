package bgp_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// Two speakers that name each other by address and both call: they meet, again and
// again, and neither loses the other's routes when one restarts.
func TestTwoThatBothCall(t *testing.T) {
	alone(t, func(t *testing.T) {
		h := wire(t)
		far := speaker(64513)
		far.RouterID, far.Own = addr(far4), ""
		there := peer4(64512)
		there.Address, there.NextHop4, there.NextHop6 = addr(near4), addr(far4), addr(far6)
		other := []state.Object{far, there, state.BGPPrefix{Prefix: prefix("10.244.2.0/24")}}
		own := []state.Object{speaker(64512), peer4(64513), state.BGPPrefix{Prefix: prefix("10.244.3.0/24")}}
		dirs := []string{t.TempDir(), t.TempDir()}
		for range 3 {
			p, n := startProcessOn(t, h, dirs[0], false, other...), startProcess(t, dirs[1], false, own...)
			n.says("+ 10.244.2.0/24 " + far4)
			p.says("+ 10.244.3.0/24 " + near4)
			p.kill()
			n.kill()
		}
		p, n := startProcessOn(t, h, dirs[0], false, other...), startProcess(t, dirs[1], false, own...)
		n.says("+ 10.244.2.0/24 " + far4)
		for range 2 {
			p.kill()
			p = startProcessOn(t, h, dirs[0], true, other...)
			p.says("+ 10.244.3.0/24 " + near4)
			p.says("settled")
		}
		time.Sleep(500 * time.Millisecond)
		if strings.Contains(n.out.String(), "- 10.244.2.0/24") {
			t.Errorf("routes were gone while the other restarted:\n%s", n.out)
		}
	})
}

// half is one of two connections with the speaker, on the peer's side.
type half struct {
	net.Conn
	t *testing.T
}

// say sends a message; the speaker may have closed the connection already.
func (h *half) say(m *packet.BGPMessage) {
	h.t.Helper()
	b, err := m.Serialize()
	if err != nil {
		h.t.Fatal(err)
	}
	_, _ = h.Write(b)
}

// open says OPEN.
func (h *half) open(id string) {
	h.t.Helper()
	h.say(packet.NewBGPOpenMessage(64513, 90, id, []packet.OptionParameterInterface{
		packet.NewOptionParameterCapability([]packet.ParameterCapabilityInterface{
			packet.NewCapMultiProtocol(packet.RF_IPv4_UC), packet.NewCapFourOctetASNumber(64513),
		}),
	}))
}

// hears reads until a message of the type, and gives what follows its header.
func (h *half) hears(kind byte) []byte {
	h.t.Helper()
	_ = h.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		var header [packet.BGP_HEADER_LENGTH]byte
		if _, err := io.ReadFull(h, header[:]); err != nil {
			h.t.Fatalf("waiting for a message of type %d: %v", kind, err)
		}
		body := make([]byte, int(binary.BigEndian.Uint16(header[16:]))-len(header))
		if _, err := io.ReadFull(h, body); err != nil {
			h.t.Fatal(err)
		}
		if header[18] == kind {
			return body
		}
	}
}

// Of two connections at once the one stays that the side with the higher identifier
// opened (RFC 4271, 6.8), whichever has the peer's OPEN first.
func TestCollision(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		id         string // the peer's; the speaker's is 192.0.2.1
		peers      bool   // the connection stays that the peer opened
		peersFirst bool   // the peer's OPEN comes first over that
	}{
		"higher, its own first":     {"192.0.2.2", true, true},
		"higher, the other first":   {"192.0.2.2", true, false},
		"lower, its own first":      {"192.0.2.0", false, true},
		"lower, the other first":    {"192.0.2.0", false, false},
		"the same, and a higher AS": {"192.0.2.1", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t, func(t *testing.T) {
				nstest.Sh(t, "ip link set lo up; ip addr add 192.0.2.1/32 dev lo; ip addr add 192.0.2.2/32 dev lo")
				l, err := net.Listen("tcp", "192.0.2.2:179")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				n := open(t, bgp.Options{})
				sp, p := speaker(64512), peer4(64513)
				sp.ListenPort, p.IPv6, p.Source = 1790, false, addr(near4)
				n.want(sp, p)
				called, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				speakers := &half{called, t}
				defer speakers.Close()
				speakers.hears(packet.BGP_MSG_OPEN)
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(far4)}}
				calling, err := d.Dial("tcp", "192.0.2.1:1790")
				if err != nil {
					t.Fatal(err)
				}
				peers := &half{calling, t}
				defer peers.Close()
				peers.hears(packet.BGP_MSG_OPEN)
				if c.peersFirst {
					peers.open(c.id)
					speakers.open(c.id)
				} else {
					speakers.open(c.id)
					speakers.hears(packet.BGP_MSG_KEEPALIVE)
					peers.open(c.id)
				}
				stays, goes := speakers, peers
				if c.peers {
					stays, goes = peers, speakers
				}
				if b := goes.hears(packet.BGP_MSG_NOTIFICATION); !bytes.Equal(b, []byte{6, 7}) {
					t.Errorf("the connection that goes ends with %v, not with a collision", b)
				}
				if c.peers || c.peersFirst {
					stays.hears(packet.BGP_MSG_KEEPALIVE)
				}
				stays.say(packet.NewBGPKeepAliveMessage())
				bgptest.Eventually(t, "up", func() bool { return n.up(far4) }, n.log.String)
			})
		})
	}
}

// A connection that is lost before the peer's OPEN came is no reason to refuse the
// peer's own: it calls, and is taken.
func TestCalledAfterALostCall(t *testing.T) {
	alone(t, func(t *testing.T) {
		nstest.Sh(t, "ip link set lo up; ip addr add 192.0.2.1/32 dev lo; ip addr add 192.0.2.2/32 dev lo")
		l, err := net.Listen("tcp", "192.0.2.2:179")
		if err != nil {
			t.Fatal(err)
		}
		n := open(t, bgp.Options{})
		sp, p := speaker(64512), peer4(64513)
		sp.ListenPort, p.IPv6, p.Source = 1790, false, addr(near4)
		n.want(sp, p)
		called, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		(&half{called, t}).hears(packet.BGP_MSG_OPEN)
		called.Close()
		l.Close()
		bgptest.Eventually(t, "it is noticed", func() bool { return n.session(far4).State != "opensent" })
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(far4)}}
		calling, err := d.Dial("tcp", "192.0.2.1:1790")
		if err != nil {
			t.Fatal(err)
		}
		defer calling.Close()
		peer := &half{calling, t}
		peer.hears(packet.BGP_MSG_OPEN)
		peer.open(far4)
		peer.hears(packet.BGP_MSG_KEEPALIVE)
		peer.say(packet.NewBGPKeepAliveMessage())
		bgptest.Eventually(t, "up", func() bool { return n.up(far4) }, n.log.String)
	})
}
