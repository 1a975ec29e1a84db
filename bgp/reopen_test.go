package bgp_test

import (
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// restarts is an OPEN that offers graceful restart for IPv4, with forwarding preserved.
func restarts(address string, restarting bool) []byte {
	return opening(64513, address, 90, packet.NewCapGracefulRestart(restarting, false, 60,
		[]*packet.CapGracefulRestartTuple{packet.NewCapGracefulRestartTuple(packet.RF_IPv4_UC, true)}))
}

// A peer that restarts gracefully and died without a word calls again, while its old
// session stands: it is taken at once, and its routes stay (RFC 4724, section 5).
func TestCalledAgain(t *testing.T) {
	t.Parallel()
	for name, dynamic := range map[string]bool{"by address": false, "dynamic": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				n := open(t, bgp.Options{})
				p := rawPeer("a", peerC, 64513)
				p.RestartTime = 60
				if dynamic {
					p.Address, p.Prefix = bgp.Session{}.Address, prefix("127.0.0.8/29")
				}
				n.want(speaker(64512), p)
				first := callFrom(t, peerC, restarts(peerC, false))
				first.update(7)
				n.learns("10.244.7.0/24", peerC)
				for range 2 {
					since := n.established(peerC).Since
					again, err := dial(peerC)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { again.Close() })
					second := &raw{t, again}
					if !second.open(restarts(peerC, true)) {
						t.Fatal("it is not taken")
					}
					bgptest.Eventually(t, "a new session", func() bool {
						s := n.session(peerC)
						return s.State == bgp.Established && s.Since.After(since)
					}, n.log.String)
					if first.told(); n.withdrawn("10.244.7.0/24") {
						t.Error("the routes were gone meanwhile")
					}
					second.update(7)
					second.send(packet.BGP_MSG_UPDATE, []byte{0, 0, 0, 0}) // End-of-RIB
					bgptest.Eventually(t, "all is said", func() bool {
						f := n.session(peerC).Families
						return len(f) > 0 && f[0].EndOfRIB && f[0].Received == 1
					})
					first = second
				}
				if n.withdrawn("10.244.7.0/24") {
					t.Error("the routes were gone in the end")
				}
			})
		})
	}
}

// A second connection that is not the peer's restart leaves the session alone: without
// graceful restart, without OPEN, or closed again as one that collided.
func TestCalledBesideASession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plain bool
		says  []byte
		close bool
	}{
		"without graceful restart": {plain: true, says: restarts(peerC, false)},
		"noise":                    {says: []byte("GET / HTTP/1.1\r\n\r\n")},
		"no OPEN":                  {says: message(packet.BGP_MSG_KEEPALIVE, nil)},
		"half an OPEN":             {says: restarts(peerC, false)[:18], close: true},
		"a collision":              {says: restarts(peerC, false), close: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				n := open(t, bgp.Options{})
				p := rawPeer("a", peerC, 64513)
				p.RestartTime = 60
				n.want(speaker(64512), p)
				first := restarts(peerC, false)
				if c.plain {
					first = opening(64513, peerC, 90)
				}
				r := callFrom(t, peerC, first)
				since := n.established(peerC).Since
				again, err := dial(peerC)
				if err != nil {
					t.Fatal(err)
				}
				defer again.Close()
				_, _ = again.Write(c.says)
				if c.close {
					again.Close()
				} else if _, err := again.Read(make([]byte, 1)); err == nil {
					t.Error("it was answered")
				}
				time.Sleep(time.Second) // nothing may happen in it
				r.update(7)
				n.learns("10.244.7.0/24", peerC)
				if s := n.session(peerC); !s.Since.Equal(since) {
					t.Errorf("the session was touched: %+v", s)
				}
			})
		})
	}
}
