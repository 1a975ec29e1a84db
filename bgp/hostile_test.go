package bgp_test

import (
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
)

// raw is a peer that says what it is told, byte by byte.
type raw struct {
	t *testing.T
	c net.Conn
}

// call opens a session from 127.0.0.9 as AS 64513.
func call(t *testing.T) *raw {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	r := &raw{t: t}
	ok := bgptest.Within(30*time.Second, func() bool {
		var err error
		if r.c, err = d.Dial("tcp4", "127.0.0.1:179"); err != nil {
			return false
		}
		_ = r.c.SetDeadline(time.Now().Add(30 * time.Second))
		open, _ := packet.NewBGPOpenMessage(64513, 90, "127.0.0.9", []packet.OptionParameterInterface{
			packet.NewOptionParameterCapability([]packet.ParameterCapabilityInterface{packet.NewCapMultiProtocol(packet.RF_IPv4_UC)}),
		}).Serialize()
		_, _ = r.c.Write(open)
		if kind, err := r.read(); err != nil || kind != packet.BGP_MSG_OPEN {
			r.c.Close()
			return false
		}
		r.send(packet.BGP_MSG_KEEPALIVE, nil)
		kind, err := r.read()
		return err == nil && kind == packet.BGP_MSG_KEEPALIVE
	})
	if !ok {
		t.Fatal("no session")
	}
	t.Cleanup(func() { r.c.Close() })
	return r
}

func (r *raw) read() (byte, error) {
	var h [19]byte
	if _, err := io.ReadFull(r.c, h[:]); err != nil {
		return 0, err
	}
	_, err := io.CopyN(io.Discard, r.c, int64(binary.BigEndian.Uint16(h[16:]))-19)
	return h[18], err
}

func (r *raw) send(kind byte, body []byte) {
	m := make([]byte, 19, 19+len(body))
	for i := range 16 {
		m[i] = 0xff
	}
	binary.BigEndian.PutUint16(m[16:], uint16(19+len(body)))
	m[18] = kind
	_, _ = r.c.Write(append(m, body...))
}

// update announces 10.244.N.0/24 with more attributes behind the usual ones.
func (r *raw) update(n byte, more ...byte) {
	attributes := []byte{
		0x40, 1, 1, 0, // ORIGIN igp
		0x40, 2, 4, 2, 1, 0xfc, 0x01, // AS_PATH 64513
		0x40, 3, 4, 127, 0, 0, 9, // NEXT_HOP
	}
	attributes = append(attributes, more...)
	body := []byte{0, 0, byte(len(attributes) >> 8), byte(len(attributes))}
	body = append(body, attributes...)
	r.send(packet.BGP_MSG_UPDATE, append(body, 24, 10, 244, n))
}

// A peer that sends what it should not is told apart from the others: the speaker
// says what it saw, goes on, and takes the peer again.
func TestHostilePeer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		send func(*raw)
		log  string // said in the log
		down string // why the session ended; empty: it lives on
	}{
		"garbage after OPEN": {send: func(r *raw) { _, _ = r.c.Write([]byte(strings.Repeat("garbage", 10))) }, down: "hold timer"},
		"an impossible length": {send: func(r *raw) {
			_, _ = r.c.Write(append([]byte(strings.Repeat("\xff", 16)), 0, 3, 2))
		}, down: "bad message length"},
		"an unknown optional attribute": {send: func(r *raw) {
			r.update(7, 0xc0, 200, 3, 1, 2, 3)
		}},
		"an unknown well-known attribute": {send: func(r *raw) { r.update(8, 0x40, 201, 1, 0) }, down: "unrecognized well known attribute"},
		"an origin that is not":           {send: func(r *raw) { r.update(9, 0x80, 4, 3, 0, 0, 1) }, log: "malformed"},
		"a truncated update":              {send: func(r *raw) { r.send(packet.BGP_MSG_UPDATE, []byte{0, 9, 1}) }, down: "malformed"},
		"a message of an unknown type": {send: func(r *raw) { r.send(9, []byte{1, 2, 3}) }, down: "bad message type"},
		"a message of type 0":          {send: func(r *raw) { r.send(0, nil) }, down: "bad message type"},
		"a wish for an unknown family":    {send: func(r *raw) { r.send(packet.BGP_MSG_ROUTE_REFRESH, []byte{0, 99, 0, 99}) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				n := open(t, bgp.Options{})
				p := peer4(64513)
				p.Address, p.Passive, p.IPv6 = addr("127.0.0.9"), true, false
				p.HoldTime = 6 // garbage can look like the head of a message whose rest does not come
				n.want(speaker(64512), p)
				r := call(t)
				r.update(2)
				// Routes to this node's own loopback are for tests alone.
				n.learns("10.244.2.0/24", "127.0.0.9")
				c.send(r)
				if c.down != "" {
					bgptest.Eventually(t, "the session ends", func() bool { return !n.up("127.0.0.9") })
					if s := n.session("127.0.0.9"); !strings.Contains(s.LastError, c.down) {
						t.Errorf("why: %q", s.LastError)
					}
					r = call(t)
				}
				r.update(3)
				n.learns("10.244.3.0/24", "127.0.0.9")
				if c.log != "" && !n.log.has(c.log) {
					t.Error("the log does not say it")
				}
			})
		})
	}
}
