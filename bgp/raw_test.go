package bgp_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/plumbnet/plumb/bgp/bgptest"
)

// raw is a peer that says what it is told, byte by byte.
type raw struct {
	t testing.TB
	c net.Conn
}

// dial connects to the speaker from this address of the loopback.
func dial(from string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp4", "127.0.0.1:179")
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	}
	return c, err
}

// opening is an OPEN for both families, with what else is given.
func opening(asn uint16, id string, hold uint16, more ...packet.ParameterCapabilityInterface) []byte {
	b, _ := packet.NewBGPOpenMessage(asn, hold, id, []packet.OptionParameterInterface{
		packet.NewOptionParameterCapability(append([]packet.ParameterCapabilityInterface{
			packet.NewCapMultiProtocol(packet.RF_IPv4_UC), packet.NewCapMultiProtocol(packet.RF_IPv6_UC), packet.NewCapRouteRefresh(),
		}, more...)),
	}).Serialize()
	return b
}

// call opens a session from 127.0.0.9 as AS 64513.
func call(t *testing.T) *raw {
	t.Helper()
	return callFrom(t, "127.0.0.9", opening(64513, "127.0.0.9", 90))
}

func callFrom(t *testing.T, from string, open []byte) *raw {
	t.Helper()
	r := &raw{t: t}
	ok := bgptest.Within(30*time.Second, func() bool {
		var err error
		if r.c, err = dial(from); err != nil {
			return false
		}
		if r.open(open) {
			return true
		}
		r.c.Close()
		return false
	})
	if !ok {
		t.Fatal("no session")
	}
	t.Cleanup(func() { r.c.Close() })
	return r
}

// open says OPEN and KEEPALIVE, and hears the same.
func (r *raw) open(open []byte) bool {
	_, _ = r.c.Write(open)
	if kind, _, err := r.read(); err != nil || kind != packet.BGP_MSG_OPEN {
		return false
	}
	r.send(packet.BGP_MSG_KEEPALIVE, nil)
	kind, _, err := r.read()
	return err == nil && kind == packet.BGP_MSG_KEEPALIVE
}

// read gives the next message's type and body.
func (r *raw) read() (byte, []byte, error) {
	var h [19]byte
	if _, err := io.ReadFull(r.c, h[:]); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.BigEndian.Uint16(h[16:])-19)
	_, err := io.ReadFull(r.c, body)
	return h[18], body, err
}

// message puts a header before the body.
func message(kind byte, body []byte) []byte {
	m := make([]byte, 19, 19+len(body))
	for i := range 16 {
		m[i] = 0xff
	}
	binary.BigEndian.PutUint16(m[16:], uint16(19+len(body)))
	m[18] = kind
	return append(m, body...)
}

func (r *raw) send(kind byte, body []byte) { _, _ = r.c.Write(message(kind, body)) }

// usual are the attributes that every route of AS 64513 has.
var usual = []byte{
	0x40, 1, 1, 0, // ORIGIN igp
	0x40, 2, 4, 2, 1, 0xfc, 0x01, // AS_PATH 64513
	0x40, 3, 4, 127, 0, 0, 9, // NEXT_HOP
}

// updateBody has attributes and prefixes as they are in the message.
func updateBody(attributes []byte, nlri ...byte) []byte {
	body := append([]byte{0, 0, byte(len(attributes) >> 8), byte(len(attributes))}, attributes...)
	return append(body, nlri...)
}

// update announces 10.244.N.0/24 with more attributes behind the usual ones.
func (r *raw) update(n byte, more ...byte) {
	r.send(packet.BGP_MSG_UPDATE, updateBody(append(append([]byte{}, usual...), more...), 24, 10, 244, n))
}

// head is a header alone, with this length.
func (r *raw) head(length uint16, kind byte) {
	m := message(kind, nil)
	binary.BigEndian.PutUint16(m[16:], length)
	_, _ = r.c.Write(m)
}

// told reads until the connection ends, and gives what the last NOTIFICATION said.
func (r *raw) told() []byte {
	_, body := r.until(packet.BGP_MSG_NOTIFICATION)
	return body
}

// until reads until a message of the type comes whose body ends like this.
func (r *raw) until(kind byte, end ...byte) (byte, []byte) {
	for {
		k, body, err := r.read()
		if err != nil {
			return 0, nil
		}
		if k == kind && bytes.HasSuffix(body, end) {
			return k, body
		}
	}
}

// next is the body of the next message of the type.
func (r *raw) next(kind byte) []byte {
	_, body := r.until(kind)
	return body
}
