package agent

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/kernel/rtnl"
	"golang.org/x/sys/unix"
)

func TestCountDrops(t *testing.T) {
	const table = `sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
000000006c0c5865 0   0          00000000 0        0        0     2        0        4
0000000098a8aa69 0   4711       00000011 0        0        0     2        3        101
0000000098a8aa6a 0   4712       00000011 0        0        0     2        4        102
0000000098a8aa6b 12  4711       00000040 0        0        0     2        5        103
0000000098a8aa6c 12  4713       00000040 0        0        0     2        900      104
0000000098a8aa6d 15  4711       00000000 0        0        0     2        70       105
`
	var d netlinkDrops
	counts := func(table, want string, inodes ...string) {
		t.Helper()
		own := map[string]bool{}
		for _, i := range inodes {
			own[i] = true
		}
		d.add(table, own)
		if got := fmt.Sprint(d.total); got != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	all := []string{"101", "102", "103", "105"}
	counts(table, "map[netfilter:5 route:7]", all...)
	counts(table, "map[netfilter:5 route:7]", all...)
	// One drops more, and one is closed.
	const more = "0 0 4711 00000011 0 0 0 2 10 101\n0 12 4711 00000040 0 0 0 2 5 103\n"
	counts(more, "map[netfilter:5 route:14]", all...)
	// A socket that is opened may get the inode of one that was closed.
	counts("0 0 4711 00000011 0 0 0 2 2 101\n", "map[netfilter:5 route:16]", all...)
	counts("", "map[netfilter:5 route:16]", all...)
}

// What the kernel could not deliver is in its own table, under the socket's inode.
func TestDropsOfTheKernel(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		m, err := rtnl.OpenMonitor()
		if err != nil {
			t.Fatal(err)
		}
		m.SetReceiveBuffer(1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		held, lost := make(chan struct{}), make(chan struct{}, 1)
		err = m.Run(ctx, []int{unix.RTNLGRP_IPV4_ROUTE}, rtnl.Handler{
			Event: func(rtnl.Message) { <-held }, Pause: func() {},
			Lost: func() {
				select {
				case lost <- struct{}{}:
				default:
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		const routes = 100
		nstest.Sh(t, fmt.Sprintf("for i in $(seq %d); do ip route add blackhole 10.0.0.$i; done", routes))
		close(held)
		<-lost
		text, err := os.ReadFile("/proc/self/net/netlink")
		if err != nil {
			t.Fatal(err)
		}
		var d netlinkDrops
		d.add(string(text), ownSockets())
		if n := d.total["route"]; n == 0 || n >= routes {
			t.Errorf("%d drops are told of", n)
		}
	})
}
