package bgp_test

import (
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// Who calls a speaker that is starting and has no peers yet is answered when it has:
// BIRD, hung up on, does not call nor take calls for a minute.
func TestCalledWhileStarting(t *testing.T) {
	t.Parallel()
	for name, dynamic := range map[string]bool{"by address": false, "dynamic": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				heard := make(chan byte)
				go func() {
					for {
						c, err := dial(peerC)
						if err != nil { // nobody listens
							time.Sleep(10 * time.Microsecond)
							continue
						}
						defer c.Close()
						_, _ = c.Write(opening(64513, peerC, 90))
						kind, _, err := (&raw{t, c}).read()
						if err != nil {
							kind = 0
						}
						heard <- kind
						return
					}
				}()
				time.Sleep(50 * time.Millisecond)
				n := open(t, bgp.Options{})
				p := rawPeer("c", peerC, 64513)
				if dynamic {
					p.Address, p.Prefix = bgp.Session{}.Address, prefix("127.0.0.8/29")
				}
				n.want(speaker(64512), p)
				if kind := <-heard; kind != packet.BGP_MSG_OPEN {
					t.Errorf("it hears %d, not OPEN", kind)
				}
			})
		})
	}
}
