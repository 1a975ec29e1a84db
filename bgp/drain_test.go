package bgp_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
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

// A reflector withdraws what it reflects while its sessions are up, so that its clients
// have time to turn to another; then its objects can be taken away.
func TestDrainOfAReflector(t *testing.T) {
	alone(t, func(t *testing.T) {
		client := func(name, near, far string) bgptest.Router {
			return bgptest.BIRD(t, bgptest.NewHost(t, name, []string{near + "/24"}, []string{far + "/24"}), bgptest.Config{
				ASN: 64512, RouterID: far, Restart: 60, Peers: []bgptest.Peer{{Address: near, Local: far, ASN: 64512, IPv4: true}},
			})
		}
		a, b := client("hosta", "192.0.2.1", "192.0.2.2"), client("hostb", "198.51.100.1", "198.51.100.2")
		a.Announce("10.244.10.0/24")
		n := open(t, bgp.Options{})
		sp := speaker(64512)
		sp.Own = ""
		nodes := state.BGPPeer{
			Name: "nodes", Prefix: prefix("192.0.2.0/24"), ASN: 64512, ClusterID: addr("192.0.2.1"), Reflect: true, IPv4: true,
			HoldTime: 90, RestartTime: 60,
		}
		one := nodes
		one.Name, one.Prefix, one.Address = "one", netip.Prefix{}, addr("198.51.100.2")
		n.want(sp, nodes, one, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		has(t, b, "10.244.10.0/24", true)
		has(t, b, "10.244.1.0/24", true)
		has(t, a, "10.244.1.0/24", true)
		drained := make(chan error, 1)
		go func() { drained <- n.Drain(t.Context(), "maintenance", 10*time.Second) }()
		has(t, b, "10.244.10.0/24", false)
		has(t, b, "10.244.1.0/24", false)
		has(t, a, "10.244.1.0/24", false)
		if !a.Up("192.0.2.1") || !b.Up("198.51.100.1") {
			t.Error("the routes went with the sessions")
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if a.Up("192.0.2.1") || b.Up("198.51.100.1") {
			t.Error("the sessions are not ended")
		}
		if err := n.try(); err != nil {
			t.Errorf("taken away: %v", err)
		}
	})
}
