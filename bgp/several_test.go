package bgp_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// The addresses of several raw peers.
const (
	peerA = "127.0.0.7"
	peerB = "127.0.0.8"
	peerC = "127.0.0.9"
)

func rawPeer(name, address string, asn uint32) state.BGPPeer {
	p := peer4(asn)
	p.Name, p.Address, p.Passive = name, addr(address), true
	return p
}

// listener is a raw peer that notes which of 10.244.N.0/24 it was told of, and with what
// attributes.
type listener struct {
	*raw
	mu   sync.Mutex
	have map[byte][]byte
}

// callAs opens a session from the address, for minutes.
func callAs(t *testing.T, from string, asn uint16) *listener {
	t.Helper()
	l := &listener{raw: callFrom(t, from, opening(asn, from, 900)), have: map[byte][]byte{}}
	_ = l.c.SetDeadline(time.Now().Add(5 * time.Minute))
	go func() {
		for {
			kind, body, err := l.read()
			if err != nil {
				return
			}
			if kind == packet.BGP_MSG_UPDATE {
				l.took(body)
			}
		}
	}()
	return l
}

func (l *listener) took(body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gone, rest := cut(body)
	attributes, nlri := cut(rest)
	for ; len(gone) >= 4; gone = gone[4:] {
		delete(l.have, gone[3])
	}
	for ; len(nlri) >= 4; nlri = nlri[4:] {
		l.have[nlri[3]] = attributes
	}
}

// cut takes what has its length in two bytes before it.
func cut(b []byte) (first, rest []byte) {
	n := int(binary.BigEndian.Uint16(b))
	return b[2 : 2+n], b[2+n:]
}

// has waits until the peer was told of 10.244.N.0/24, or not any more.
func (l *listener) has(n byte, want bool) {
	l.t.Helper()
	bgptest.Eventually(l.t, l.c.LocalAddr().String()+" is told", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return (l.have[n] != nil) == want
	})
}

// announce sends 10.244.N.0/24 with this AS path, from itself as the next hop, and more
// attributes.
func (l *listener) announce(n byte, path []uint16, more ...byte) {
	a := []byte{0x40, 1, 1, 0, 0x40, 2, 0}
	if len(path) > 0 {
		a = append(a[:6], byte(2+2*len(path)), 2, byte(len(path)))
		for _, asn := range path {
			a = binary.BigEndian.AppendUint16(a, asn)
		}
	}
	a = append(append(a, 0x40, 3, 4), netip.MustParseAddrPort(l.c.LocalAddr().String()).Addr().AsSlice()...)
	l.send(packet.BGP_MSG_UPDATE, updateBody(append(a, more...), 24, 10, 244, n))
}

func (l *listener) withdraw(n byte) {
	l.send(packet.BGP_MSG_UPDATE, []byte{0, 4, 24, 10, 244, n, 0, 0})
}

// communities is the attribute.
func communities(list ...packet.WellKnownCommunity) []byte {
	if len(list) == 0 {
		return nil
	}
	b := []byte{0xc0, 8, byte(4 * len(list))}
	for _, c := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(c))
	}
	return b
}

// A path that was sent is withdrawn when what takes its place is not sent: for the
// filter's sake, or for the receiver's own AS in it.
func TestWithdrawnBehindAnotherPath(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		filter string
		path   []uint16
	}{
		"the filter takes one next hop":     {"next-hop " + peerA + "/32 accept", []uint16{64514, 64599}},
		"the filter takes one AS path":      {`as-path "_64513$" accept`, []uint16{64514, 64599}},
		"the other path is from the target": {"accept", []uint16{64514, 64515}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				n := open(t, bgp.Options{})
				pc := rawPeer("c", peerC, 64515)
				pc.Export = "out"
				n.want(speaker(64512), rawPeer("a", peerA, 64513), rawPeer("b", peerB, 64514), pc, rules(t, "out", false, c.filter))
				a, b, target := callAs(t, peerA, 64513), callAs(t, peerB, 64514), callAs(t, peerC, 64515)
				a.announce(7, []uint16{64513})
				target.has(7, true)
				b.announce(7, c.path)
				bgptest.Eventually(t, "both are there", func() bool { d, _ := n.rib("10.244.7.0/24"); return d.Best && len(destinationPaths(t, n)) == 2 })
				a.withdraw(7)
				n.learns("10.244.7.0/24", peerB)
				target.has(7, false)
				a.announce(7, []uint16{64513})
				target.has(7, true)
			})
		})
	}
}

// destinationPaths are those of the only destination.
func destinationPaths(t *testing.T, n *node) []bgp.RIBPath {
	t.Helper()
	var out []bgp.RIBPath
	if err := n.RIB(t.Context(), netip.Prefix{}, func(d bgp.Destination) { out = append(out, d.Paths...) }); err != nil {
		t.Fatal(err)
	}
	return out
}

// What this node originates stays announced, however much a peer's path is preferred.
func TestOwnBeforeLearned(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		pa := rawPeer("a", peerA, 64513)
		pa.Import = "in"
		n.want(speaker(64512), pa, rawPeer("c", peerC, 64515), rules(t, "in", false, "local-pref 200 accept"), state.BGPPrefix{Prefix: prefix("10.244.7.0/24")})
		a, other := callAs(t, peerA, 64513), callAs(t, peerC, 64515)
		other.has(7, true)
		a.announce(7, []uint16{64513})
		a.announce(8, []uint16{64513}) // comes after it
		n.learns("10.244.8.0/24", peerA)
		n.learns("10.244.7.0/24")
		other.has(7, true)
		paths := destinationPaths(t, n)
		if len(paths) != 3 || paths[0].Peer.IsValid() || paths[0].Why != "originated here" || paths[1].Why != "not originated here" {
			t.Errorf("%+v", paths)
		}
	})
}

// The well-known communities of RFC 1997 are kept to, for what was received.
func TestWellKnownCommunities(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		pa, pb := rawPeer("a", peerA, 64512), rawPeer("b", peerB, 64512)
		for _, p := range []*state.BGPPeer{&pa, &pb} {
			p.ClusterID, p.Reflect = addr("192.0.2.99"), true
		}
		pc := rawPeer("c", peerC, 64515)
		pc.Export = "out"
		own := state.BGPPrefix{Prefix: prefix("10.244.9.0/24"), Communities: "65535:65281"}
		n.want(speaker(64512), pa, pb, pc, rules(t, "out", true), own)
		a, inside, outside := callAs(t, peerA, 64512), callAs(t, peerB, 64512), callAs(t, peerC, 64515)
		localPref := []byte{0x40, 5, 4, 0, 0, 0, 100}
		say := func(list ...packet.WellKnownCommunity) {
			a.announce(7, nil, slices.Concat(localPref, communities(list...))...)
		}
		for range 2 {
			say()
			inside.has(7, true)
			outside.has(7, true)
			say(packet.COMMUNITY_NO_EXPORT)
			outside.has(7, false)
			inside.has(7, true)
			say()
			outside.has(7, true)
			say(packet.COMMUNITY_NO_ADVERTISE)
			outside.has(7, false)
			inside.has(7, false)
			say(packet.COMMUNITY_NO_EXPORT_SUBCONFED)
			inside.has(7, true)
			n.learns("10.244.7.0/24", peerA)
		}
		outside.has(9, true) // this node's own: for others to keep
		outside.mu.Lock()
		defer outside.mu.Unlock()
		if outside.have[7] != nil || !bytes.Contains(outside.have[9], []byte{0xff, 0xff, 0xff, 0x01}) {
			t.Errorf("it has %v", outside.have)
		}
	})
}
