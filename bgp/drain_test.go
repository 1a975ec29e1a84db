package bgp_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// Who calls while the sessions end does not hold up the end.
func TestDrainWhileOthersCall(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		n.want(speaker(64512), state.BGPPeer{Name: "nodes", Prefix: prefix("127.0.0.0/8"), ASN: 64513, IPv4: true, HoldTime: 90, RestartTime: 120})
		var callers sync.WaitGroup
		end := make(chan struct{})
		for i := range 32 {
			callers.Go(func() {
				for last := byte(1); ; last++ {
					select {
					case <-end:
						return
					default:
					}
					d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i), last)}, Timeout: time.Second}
					if c, err := d.DialContext(t.Context(), "tcp4", "127.0.0.1:179"); err == nil {
						c.Close()
					}
				}
			})
		}
		time.Sleep(100 * time.Millisecond) // they call; how many is all the same
		drained := make(chan error, 1)
		go func() { drained <- n.Drain(t.Context(), "maintenance", time.Millisecond) }()
		select {
		case err := <-drained:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("it does not end")
		}
		close(end)
		callers.Wait()
	})
}
