package agent

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/render"
)

// crowd is a state file of n0 and many nodes behind a router, and more.
func crowd(nodes int, more ...string) string {
	var b strings.Builder
	b.WriteString(`apiVersion: plumb/v1
pools: [{cidr: 10.128.0.0/9, encapsulation: vxlan, encapsulate: crossSubnet}]
nodes:
  - {name: n0, addresses: [192.0.2.1/24], podCIDRs: [10.255.0.0/26]}
`)
	for i := range nodes {
		fmt.Fprintf(&b, "  - {name: other%d, addresses: [10.1.%d.%d/16], podCIDRs: [10.%d.%d.%d/26]}\n",
			i, i/250, 1+i%250, 128+i>>10, i>>2&255, i&3<<6)
	}
	for _, m := range more {
		b.WriteString("  - " + m + "\n")
	}
	return b.String()
}

// TestOneNodeAmongThousands: a node that comes, moves and goes touches its own
// neighbour, forwarding entry, route and element, and nothing else.
func TestOneNodeAmongThousands(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		const many = 5000
		nstest.Sh(t, `echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 # what it does by itself is no news here
			ip link add eth0 type veth peer name peer0; ip addr add 192.0.2.1/24 dev eth0
			ip link set eth0 up; ip link set peer0 up`)
		o := options(t, crowd(many))
		o.HTTP = "127.0.0.1:9178"
		log := start(t, o)
		routes := func() string { return nstest.Sh(t, "ip route show proto 112") }
		soon(t, "all routes come", func() bool { return strings.Count(routes(), "onlink") == many })
		soon(t, "it has converged", func() bool { _, text := get(t, "/status"); return strings.Contains(text, `"converged":true`) })

		monitor := exec.Command("ip", "monitor", "link", "address", "neigh", "route")
		var seen logged
		monitor.Stdout = &seen
		if err := monitor.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = monitor.Process.Kill(); _ = monitor.Wait() }()
		soon(t, "the monitor listens", func() bool {
			nstest.Sh(t, "ip route add 203.0.113.0/24 dev eth0; ip route del 203.0.113.0/24")
			return strings.Contains(seen.String(), "203.0.113.0/24")
		})
		rules := exec.Command("nft", "monitor")
		var ruled logged
		rules.Stdout = &ruled
		if err := rules.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rules.Process.Kill(); _ = rules.Wait() }()
		soon(t, "that of nftables listens", func() bool {
			nstest.Sh(t, "nft add table inet first; nft delete table inet first")
			return strings.Contains(ruled.String(), "inet first")
		})
		one := func(address string) string {
			return "{name: one, addresses: [" + address + "/24], podCIDRs: [10.254.0.0/26]}"
		}
		for _, step := range []struct {
			what, file string
			so         func() bool
		}{
			{"a node comes", crowd(many, one("198.51.100.7")), func() bool { return strings.Contains(routes(), "10.254.0.0/26 via 10.254.0.0") }},
			{"it is renumbered", crowd(many, one("198.51.100.8")), func() bool {
				return strings.Contains(nstest.Sh(t, "bridge fdb show dev plumb-vxlan"), "198.51.100.8") &&
					strings.Contains(nstest.Sh(t, "nft list set inet plumb nodes4"), "198.51.100.8")
			}},
			{"it goes", crowd(many), func() bool { return !strings.Contains(routes(), "10.254.0.0") }},
		} {
			write(t, o.File, step.file)
			soon(t, step.what, step.so)
		}
		mark := func() { nstest.Sh(t, "ip route add 203.0.114.0/24 dev eth0; ip route del 203.0.114.0/24") }
		soon(t, "the monitor has seen it all", func() bool { mark(); return strings.Contains(seen.String(), "203.0.114.0/24") })
		for line := range strings.Lines(seen.String()) {
			own := strings.Contains(line, "10.254.0.0") || strings.Contains(line, render.TunnelMAC("one")) ||
				strings.Contains(line, "203.0.11") || strings.TrimSpace(line) == ""
			if !own {
				t.Errorf("touched: %s", line)
			}
		}
		soon(t, "that of nftables has seen it all", func() bool {
			nstest.Sh(t, "nft add table inet last; nft delete table inet last")
			return strings.Contains(ruled.String(), "inet last")
		})
		var elements []string
		for line := range strings.Lines(ruled.String()) {
			if !strings.HasPrefix(line, "#") && !strings.Contains(line, " table inet ") {
				elements = append(elements, strings.Replace(strings.TrimSpace(line), "create ", "add ", 1)) // by whether NLM_F_EXCL is set
			}
		}
		const element = " element inet plumb nodes4 { 198.51.100."
		slices.Sort(elements)
		if want := []string{"add" + element + "7 }", "add" + element + "8 }", "delete" + element + "7 }", "delete" + element + "8 }"}; !slices.Equal(elements, want) {
			t.Errorf("of nftables these changed: %q, want %q", elements, want)
		}
		if text := log.String(); strings.Contains(text, "level=ERROR") {
			t.Error("something could not be made at first")
		}
		if n := strings.Count(seen.String(), "10.254.0.0/26"); n != 2 {
			t.Errorf("the route changed %d times, not when it came and went alone:\n%s", n, seen.String())
		}
	})
}

// TestATunnelWaitsForItsAddress: a node that has lost the address at which its tunnels
// end has not converged, and says so.
func TestATunnelWaitsForItsAddress(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up
			ip addr add 192.0.2.1/24 dev eth0`)
		o := options(t, crowd(3))
		o.HTTP = "127.0.0.1:9178"
		start(t, o)
		says := func(parts ...string) func() bool {
			return func() bool {
				_, text := get(t, "/status")
				return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
			}
		}
		soon(t, "it converges", says(`"converged":true`, `"pending":[]`, `"tunnels":[{"device":"plumb-vxlan","type":"vxlan","vni":4096,"port":4789,`+
			`"local":"192.0.2.1","parent":"eth0","mtu":1450,"addresses":["10.255.0.0/32"],"remotes":3,"state":"up"}]`))
		nstest.Sh(t, "ip addr del 192.0.2.1/24 dev eth0")
		soon(t, "the tunnel waits", says(`"converged":false`, `"endpoint":"tunnel plumb-vxlan"`, "no device has 192.0.2.1"))
		soon(t, "the tunnel is gone", func() bool { return !strings.Contains(nstest.Sh(t, "ip link"), "plumb-vxlan") })
		soon(t, "it still says so", says(`"converged":false`, `"endpoint":"tunnel plumb-vxlan"`, `"tunnels":[]`))
		nstest.Sh(t, "ip addr add 192.0.2.1/24 dev eth0")
		soon(t, "it converges again", says(`"converged":true`, `"pending":[]`))
	})
}
