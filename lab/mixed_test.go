package lab_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestMixed: three pools, two racks. Every pod reaches every pod; the router between the
// racks sees packets of the one pool as they are, those of the others in VXLAN and IPIP
// alone; within a rack there is no tunnel.
func TestMixed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	ipip := kernelHasIPIP()
	if !ipip {
		c.mixedWithoutIPIP()
		return
	}
	c.upWith("mixed")
	c.ok("exec", "router", "--", "nft", `
		table ip seen {
			chain forward {
				type filter hook forward priority 0
				udp dport 4789 counter comment "vxlan"
				ip protocol 4 counter comment "ipip"
				ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 counter comment "plain"
				ip daddr { 10.245.0.0/16, 10.246.0.0/16 } counter comment "bare"
			}
		}`)
	for rack, nodes := range racks {
		for _, n := range nodes {
			c.ok("exec", n, "--", "nft", fmt.Sprintf(`
				table ip within {
					chain out { type filter hook output priority 0
						udp dport 4789 ip daddr %[1]s counter comment "tunnel"
						ip protocol 4 ip daddr %[1]s counter comment "tunnel"
					}
				}`, rack))
		}
	}
	c.allReach()
	for _, pair := range []string{"a1 10.244.4.10", "b1 10.245.5.10", "c1 10.246.6.10", "d1 10.246.3.10", "b1 10.246.3.10", "e1 10.246.6.10"} {
		from, to, _ := strings.Cut(pair, " ")
		c.ok("exec", from, "--", "ping", "-n", "-c", "1", "-W", "20", to)
	}
	// Node to pod: the answers come back by the tunnel too.
	c.answersAreTunnelled("node2 10.245.5.10", "node5 10.245.2.10", "node3 10.246.6.10", "node6 10.246.3.10", "node1 10.244.4.10")
	counted := c.ok("exec", "router", "--", "nft", "list", "table", "ip", "seen")
	for _, way := range []string{"vxlan", "ipip", "plain", "bare"} {
		if some := !strings.Contains(counted, fmt.Sprintf("counter packets 0 bytes 0 comment %q", way)); some != (way != "bare") {
			c.t.Errorf("%s: the router saw some: %v\n%s", way, some, counted)
		}
	}
	for _, nodes := range racks {
		for _, n := range nodes {
			if counted := c.ok("exec", n, "--", "nft", "list", "table", "ip", "within"); strings.Count(counted, "counter packets 0 ") != 2 {
				c.t.Errorf("%s sends through a tunnel within its rack:\n%s", n, counted)
			}
		}
	}
	c.expect("node1", "ip route", "10.245.5.0/24 via 10.245.5.0 dev plumb-vxlan proto plumb-bgp onlink",
		"10.246.6.0/24 via 10.2.0.4 dev plumb-ipip proto plumb-bgp onlink", "10.246.3.0/24 via 10.1.0.4 dev eth0 proto plumb-bgp",
		"10.244.4.0/24 via 10.1.0.1 dev eth0 proto plumb-bgp")
	c.tracesByTheRouter()
}

// tracesByTheRouter: what the router does is not known; a trace goes on behind it, and a
// real packet leaves no doubt.
func (c *cluster) tracesByTheRouter() {
	c.t.Helper()
	for question, want := range map[string]string{
		"a1 d1":        "delivered to e2e/d1, if router 10.1.0.1 passes it on; the answer comes back, if router 10.2.0.1 passes it on\n",
		"node1 node4":  "delivered to node node4, if router 10.1.0.1 passes it on; the answer comes back, if router 10.2.0.1 passes it on\n",
		"a1 node4":     "delivered to node node4, which sees it come from 10.1.0.2 (translated from 10.244.1.10), if router 10.1.0.1 passes it on\n",
		"b1 e1":        "delivered to e2e/e1, if router 10.1.0.1 passes it on; the answer comes back, if router 10.2.0.1 passes it on\n",
		"--live a1 d1": "delivered to e2e/d1; the answer comes back; probe: echo reply after ",
		"a1 192.0.2.7": "leaves the cluster by 10.1.0.1 on eth0 of node1, as 10.1.0.2 (translated from 10.244.1.10)\n",
	} {
		c.expect("node1", "plumb trace "+question, want)
	}
}

// answersAreTunnelled pings pods from nodes; the router sees no answer of a pool that
// it does not know.
func (c *cluster) answersAreTunnelled(pairs ...string) {
	c.t.Helper()
	c.ok("exec", "router", "--", "nft", `
		table ip answers {
			chain forward {
				type filter hook forward priority 0
				ip saddr { 10.245.0.0/16, 10.246.0.0/16 } ip daddr { 10.1.0.0/24, 10.2.0.0/24 } icmp type echo-reply counter
			}
		}`)
	for _, pair := range pairs {
		from, to, _ := strings.Cut(pair, " ")
		c.ok("exec", from, "--", "ping", "-n", "-c", "1", "-W", "20", to)
	}
	if counted := c.ok("exec", "router", "--", "nft", "list", "table", "ip", "answers"); !strings.Contains(counted, "counter packets 0 ") {
		c.t.Errorf("answers to nodes come outside of tunnels:\n%s", counted)
	}
}

// racks are the nodes by the subnet that they are in.
var racks = map[string][]string{
	"10.1.0.0/24": {"node1", "node2", "node3"},
	"10.2.0.0/24": {"node4", "node5", "node6"},
}

// kernelHasIPIP asks in a namespace of its own; a virtual machine runs this test where
// it is so (make test-vm).
func kernelHasIPIP() bool {
	return exec.Command("unshare", "-Urn", "ip", "link", "add", "probe", "type", "ipip", "local", "127.0.0.1").Run() == nil
}

// mixedWithoutIPIP: the lab says what the kernel lacks, and the other pools' pods are
// reached all the same.
func (c *cluster) mixedWithoutIPIP() {
	c.t.Helper()
	out := c.ok("up", "-f", c.shipped("mixed"))
	for _, want := range []string{"this kernel makes no devices of type ipip (module ipip)", "up, but for what this kernel lacks,"} {
		if !strings.Contains(out, want) {
			c.t.Errorf("up does not say %q:\n%s", want, out)
		}
	}
	pods := map[string]string{"a1": "10.244.1.10", "b1": "10.245.2.10", "d1": "10.244.4.10", "e1": "10.245.5.10"}
	for from := range pods {
		for _, to := range pods {
			c.ok("exec", from, "--", "ping", "-n", "-c", "1", "-W", "20", to)
		}
	}
	c.ok("exec", "b1", "--", "ping", "-n", "-c", "1", "-W", "20", "10.246.3.10") // no tunnel is needed within the rack
	c.answersAreTunnelled("node2 10.245.5.10", "node5 10.245.2.10", "node1 10.244.4.10")
	status, _, code := c.run("status")
	if code != 1 || !strings.Contains(status, "link plumb-ipip") {
		c.t.Errorf("status, exit status %d:\n%s", code, status)
	}
	lines := strings.Split(c.ok("exec", "node1", "--", "ip", "route"), "\n")
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "10.245.5.0/24 via 10.245.5.0 dev plumb-vxlan ") }) {
		c.t.Errorf("node1 has\n%s", strings.Join(lines, "\n"))
	}
	c.tracesByTheRouter()
}
