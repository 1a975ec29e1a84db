package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shipped writes one of the topologies that plumb comes with to where the lab's user
// can read it.
func (c *cluster) shipped(topology string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join("topologies", topology+".yaml"))
	if err != nil {
		c.t.Fatal(err)
	}
	path := filepath.Join(c.base, "topology.yaml")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { os.Remove(path) })
	return path
}

// upWith brings it up.
func (c *cluster) upWith(topology string) {
	c.t.Helper()
	c.ok("up", "-f", c.shipped(topology), "--wait", "3m")
	c.allReach()
}

// allReach waits until everybody reaches everybody.
func (c *cluster) allReach() {
	c.t.Helper()
	// The routers outside may learn a moment later than the nodes.
	if lost := c.eventually(func() string {
		out, stderr, code := c.run("ping")
		if code == 0 && !strings.Contains(strings.ReplaceAll(out, " 0 lost", ""), "lost") {
			return ""
		}
		return out + stderr
	}); lost != "" {
		c.t.Fatalf("not everybody reaches everybody:\n%s", lost)
	}
}

// expect waits until a command's output has all that is wanted: a route may come
// before its second next hop.
func (c *cluster) expect(node, command string, wants ...string) {
	c.t.Helper()
	if wrong := c.eventually(func() string {
		got := c.ok("exec", node, "--", "sh", "-c", command)
		for _, want := range wants {
			if !strings.Contains(got, want) {
				return fmt.Sprintf("%s: %s gives\n%s\nwithout %q", node, command, got, want)
			}
		}
		return ""
	}); wrong != "" {
		c.t.Error(wrong)
	}
}

// Each topology's demonstration finds everything as it should be, or says what the kernel lacks: reflectors know every
// node's podCIDRs, and a node without a default route needs nobody to answer for the gateway.
func TestDemoOfTopologies(t *testing.T) {
	for topology, want := range map[string]string{
		"full-mesh":        "*>  10.244.2.0/24       172.18.0.3      node2",
		"gobgpd-reflector": "*> 10.244.2.0/24        172.18.0.3",
		"tor-pair":         "10.244.2.0/24        unicast [node2",
		"mixed":            "10.244.4.0/24        unicast [node4",
	} {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, nil)
			file, err := filepath.Abs(filepath.Join("topologies", topology+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			verdict, status := "All is as it should be", 0
			if topology == "mixed" && !kernelHasIPIP() {
				verdict, status = "this kernel makes no devices of type ipip (module ipip): operation not supported: Unknown device type (node1, node2", 1
			}
			stdout, stderr, code := c.run("demo", "-f", file)
			if out := stdout + stderr; code != status || !strings.Contains(out, want) || !strings.Contains(out, verdict) {
				t.Errorf("exit status %d; it does not say %q and %q:\n%s", code, want, verdict, out)
			}
			c.leavesNothing()
		})
	}
}

func TestTopologiesOfBGP(t *testing.T) {
	for name, check := range map[string]func(*cluster){
		"three-nodes": func(c *cluster) {
			c.expect("node1", "ip route", "10.244.2.0/24 via 172.18.0.3 dev eth0 proto plumb \n")
		},
		"full-mesh": func(c *cluster) {
			c.expect("node1", "plumb bgp peers", "2 of 2 sessions established", "node2", "node3")
			c.expect("node1", "ip -6 route", "fd00:10:244:2::/64 via fd00:172:18::3 dev eth0 proto plumb-bgp")
		},
		"route-reflector": func(c *cluster) {
			c.expect("rr", "plumb bgp routes 10.244.3.0/24", "172.18.0.4")
			c.expect("node1", "plumb bgp peers", "1 of 1 sessions established", "reflector")
		},
		"node-reflector": func(c *cluster) { // a node of the cluster reflects
			c.expect("rr", "plumb bgp peers", "3 of 3 sessions established")
			c.expect("node1", "plumb bgp peers", "1 of 1 sessions established")
		},
		"gobgpd-reflector": func(c *cluster) {
			c.expect("node1", "ip route", "10.244.2.0/24 via 172.18.0.3 dev eth0 proto plumb-bgp")
			c.expect("node1", "plumb bgp routes 10.244.2.0/24 -o json", `"192.0.2.1"`) // its cluster list
		},
		"tor-pair": func(c *cluster) {
			c.expect("node1", "ip route show 203.0.113.0/24",
				"proto plumb-bgp", "nexthop via 172.18.0.11 dev eth0", "nexthop via 172.18.0.12 dev eth0")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, nil)
			c.upWith(name)
			check(c)
		})
	}
}
