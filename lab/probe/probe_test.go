package probe_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/lab/probe"
)

func TestPing(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip route add blackhole 192.0.2.0/24; ip route add 198.51.100.0/24 dev lo")
		p, err := probe.NewPinger()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, a := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
			if rtt, err := p.Ping(ctx, netip.MustParseAddr(a)); err != nil || rtt <= 0 {
				t.Errorf("ping %s: %v, %v", a, rtt, err)
			}
		}
		// A route that refuses is an error at once, and not a loss.
		if _, err := p.Ping(ctx, netip.MustParseAddr("192.0.2.1")); err == nil || errors.Is(err, probe.ErrLost) {
			t.Errorf("ping into a blackhole: %v", err)
		}
		ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if _, err := p.Ping(ctx, netip.MustParseAddr("198.51.100.1")); !errors.Is(err, probe.ErrLost) {
			t.Errorf("ping to nobody: %v", err)
		}
	})
}

func TestWhoami(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		s, err := probe.Serve()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		here := func(f func() error) error { return f() }
		for _, a := range []string{"127.0.0.1", "::1"} {
			if seen, err := probe.Whoami(context.Background(), netip.MustParseAddr(a), here); err != nil || seen.String() != a {
				t.Errorf("seen at %s as %s, %v", a, seen, err)
			}
		}
	})
}

func TestARP(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `ip link add v0 type veth peer name v1 address 02:00:00:00:00:01
			ip address add 192.0.2.1/24 dev v1; ip link set v0 up; ip link set v1 up`)
		// Both ends are in one namespace, whose own address v0's side asks for.
		nstest.Sh(t, "echo 1 > /proc/sys/net/ipv4/conf/all/accept_local")
		mac, err := probe.ARP("v0", netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1"), time.Minute)
		if err != nil || mac.String() != "02:00:00:00:00:01" {
			t.Errorf("arp: %s, %v", mac, err)
		}
		if mac, err := probe.ARP("v0", netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.9"), 50*time.Millisecond); err == nil {
			t.Errorf("arp for nobody's address is answered by %s", mac)
		}
	})
}
