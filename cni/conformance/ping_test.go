package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// ADD returns when the first packet would pass: one ping, in every direction, is
// answered, on a node with and without default routes, while no agent runs.
func TestFirstPacketPasses(t *testing.T) {
	for _, with := range []bool{false, true} {
		t.Run(fmt.Sprintf("default route %v", with), func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				n := newNode(t, layout{defaultRoute: with})
				first := n.pod("first")
				r := first.add()
				first4, first6 := addresses(r)[0], addresses(r)[1]
				for i, order := range []func(p pod, a4, a6 string){
					func(p pod, _, _ string) { p.ping(n.address4) },
					func(p pod, _, _ string) { p.ping(n.address6) },
					func(p pod, _, _ string) { p.ping(first4) },
					func(p pod, _, _ string) { p.ping(first6) },
					func(_ pod, a4, _ string) { n.ping(a4) },
					func(_ pod, _, a6 string) { n.ping(a6) },
					func(_ pod, a4, _ string) { first.ping(a4) },
					func(_ pod, _, a6 string) { first.ping(a6) },
				} {
					p := n.pod(fmt.Sprintf("pod%d", i))
					r := p.add()
					order(p, addresses(r)[0], addresses(r)[1]) // the very first packet
				}
			})
		})
	}
}

// Container runtimes switch IPv6 off in a new namespace.
func TestPodWithIPv6SwitchedOff(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		p.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
		p.add()
		p.ping(n.address6)
		p.sh("ping -n -c 1 -W 10 ::1") // its loopback is up
	})
}

// The namespace can be a process's, and need have no name.
func TestNamespaceOfAProcess(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		n.sh(`unshare --net sleep 1000 >/dev/null 2>&1 & echo $! > %s.pid
			while [ "$(readlink /proc/$!/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done`, n.file)
		pid := n.sh("cat %s.pid", n.file)
		p := pod{n: n, id: "process", netns: "/proc/" + pid + "/ns/net", ifName: "eth0"}
		p.add()
		p.ping(n.address4)
		n.sh("kill -9 %s", pid)
		p.del()
		n.clean("DEL of a process that has ended")
	})
}

// Flows of an address that leaves the node are forgotten, so that the next pod with
// that address does not inherit them; other flows stay.
func TestFlowsEndWithTheirAddress(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		// Connection tracking is off in a namespace where no rule asks for it.
		n.sh("nft add table inet t; nft add chain inet t c '{ type filter hook input priority 0; }'; nft add rule inet t c ct state new counter")
		one, two := n.pod("one"), n.pod("two")
		gone, stays := addresses(one.add()), addresses(two.add())
		for _, p := range []pod{one, two} {
			p.ping(n.address4)
			p.ping(n.address6)
		}
		two.ping(gone[0])
		flows := func(a string) int {
			// /proc writes IPv6 addresses without the shorthand.
			return strings.Count(n.sh("cat /proc/net/nf_conntrack"), "src="+a+" ")
		}
		long := func(a string) string { return strings.ReplaceAll(a, "::", ":0000:0000:0000:") }
		pad := func(a string) string {
			parts := strings.Split(long(a), ":")
			for i, p := range parts {
				parts[i] = strings.Repeat("0", 4-len(p)) + p
			}
			return strings.Join(parts, ":")
		}
		for _, a := range []string{gone[0], pad(gone[1]), stays[0], pad(stays[1])} {
			if flows(a) == 0 {
				t.Fatalf("no flow of %s, so nothing is tested:\n%s", a, n.sh("cat /proc/net/nf_conntrack"))
			}
		}
		one.del()
		if flows(gone[0])+flows(pad(gone[1])) > 0 {
			t.Errorf("flows are left:\n%s", n.sh("cat /proc/net/nf_conntrack"))
		}
		if flows(stays[0]) == 0 || flows(pad(stays[1])) == 0 {
			t.Errorf("another pod's flows are gone:\n%s", n.sh("cat /proc/net/nf_conntrack"))
		}
	})
}
