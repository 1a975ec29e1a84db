package agent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// TestRandomNodes wants random states of random nodes, whatever other hands left
// there before: one apply converges, a second finds nothing to do, and what is not
// plumb's stays as it is.
func TestRandomNodes(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
			ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up
			ip addr add 172.18.0.1/24 dev eth0; ip addr add fd00:18::1/64 dev eth0
			for i in 0 1 2 3 4 5; do
				ip link add plb$i type veth peer name pod$i; ip link set plb$i up; ip link set pod$i up
			done
			ip link add tap0 type veth peer name vm0; ip link set tap0 up; ip link set vm0 up`)
		dir := t.TempDir()
		file := filepath.Join(dir, "plumb.yaml")
		for seed := range uint64(25) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			nstest.Sh(t, mess(rnd))
			foreign := others(t)
			text := randomFile(rnd, nil)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			conflicts := converge(t, seed, file, dir, text)
			if now := others(t); now != foreign {
				t.Fatalf("seed %d: what is not plumb's was\n%s\nand is\n%s\nafter\n%s", seed, foreign, now, text)
			}
			nstest.Sh(t, "ip route flush proto static; ip -6 route flush proto static; nft delete table inet other 2>/dev/null || true")
			if conflicts > 0 { // the way is free now
				if n := converge(t, seed, file, dir, text); n > 0 {
					t.Fatalf("seed %d: %d conflicts with nobody", seed, n)
				}
			}
			// The same with tunnels, now that nobody's routes are beside plumb's.
			overlays := rand.New(rand.NewPCG(seed, 3))
			nstest.Sh(t, messTunnels(overlays))
			text = randomFile(rand.New(rand.NewPCG(seed, 4)), overlays)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			converge(t, seed, file, dir, text)
		}
	})
}

// converge applies the file, and checks that nothing is left to do but what other
// owners' routes are in the way of; it gives the number of those.
func converge(t *testing.T, seed uint64, file, dir, text string) (conflicts int) {
	t.Helper()
	l, err := Load(file, "n0")
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, text)
	}
	o, err := NewOnce(t.Context(), l, "n0", dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	p, err := o.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		if s.Conflict != "" {
			conflicts++
		}
	}
	if _, err := o.Apply(t.Context(), p); (err != nil) != (conflicts > 0) {
		t.Fatalf("seed %d: %d conflicts planned, and Apply says: %v\n%s", seed, conflicts, err, p.Text(nil))
	}
	again, err := o.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Steps) != conflicts {
		t.Fatalf("seed %d: after\n%swith %d conflicts, there is left:\n%s", seed, p.Text(nil), conflicts, again.Text(nil))
	}
	return conflicts
}

// others prints the routes and tables of other owners; the kernel's own routes
// follow the devices, and are left out.
func others(t *testing.T) string {
	t.Helper()
	return nstest.Sh(t, `ip route show table all proto static; ip -6 route show table all proto static
		nft list tables; nft list table inet other 2>/dev/null || true`)
}

// mess is what other hands do: routes of theirs and with plumb's mark, rules and
// elements in plumb's table and beside it, parameters, devices.
func mess(rnd *rand.Rand) string {
	var b strings.Builder
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	b.WriteString("nft add table inet plumb\n") // so that others is the same before and after
	for range rnd.IntN(12) {
		dst := pick("10.1.0.0/24", "10.1.1.0/24", "10.1.2.0/24", "10.1.0.5/32", "10.1.0.6/32", "10.9.0.0/16", "10.1.0.7/32")
		via := pick("via 172.18.0.9 dev eth0", "via 172.18.0.2 dev eth0", "dev tap0", "dev plb1")
		proto := pick("112", "112", "112", "static")
		fmt.Fprintf(&b, "ip route %s %s %s proto %s metric %s 2>/dev/null || true\n",
			pick("add", "replace", "append"), dst, via, proto, pick("0", "0", "7"))
	}
	for range rnd.IntN(6) {
		fmt.Fprintf(&b, "ip -6 route add %s %s proto %s 2>/dev/null || true\n",
			pick("fd01:0:0:1::/64", "fd01:0:0:2::/64", "fd01::5/128"), pick("via fd00:18::9 dev eth0", "dev tap0", "dev plb2"), pick("112", "static"))
	}
	for _, s := range []string{
		"nft flush table inet plumb", "nft delete table inet plumb; nft add table inet plumb",
		"nft insert rule inet plumb postrouting counter accept 2>/dev/null || true",
		"nft add rule inet plumb prerouting drop 2>/dev/null || true",
		"nft flush chain inet plumb postrouting 2>/dev/null || true",
		"nft add element inet plumb masq4 '{ 192.0.2.1-192.0.2.9 }' 2>/dev/null || true",
		"nft flush set inet plumb pools4 2>/dev/null || true",
		"nft add set inet plumb strange '{ type inet_service; }' 2>/dev/null || true",
		"nft add chain inet plumb mine; nft add rule inet plumb mine log",
		"nft add table inet other; nft add set inet other s '{ type ipv4_addr; elements = { 10.0.0.1 } }' 2>/dev/null || true",
		"echo 0 >/proc/sys/net/ipv4/ip_forward", "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
		"echo 0 >/proc/sys/net/ipv4/conf/plb1/proxy_arp", "echo 2 >/proc/sys/net/ipv4/conf/plb2/rp_filter",
		"ip link set plb1 down", "ip link set plb2 address 02:00:00:00:00:01", "ip link set tap0 down; ip link set tap0 up",
	} {
		if rnd.IntN(3) == 0 {
			b.WriteString(s + "\n")
		}
	}
	return b.String()
}

// messTunnels is what other hands do to tunnels.
func messTunnels(rnd *rand.Rand) string {
	var b strings.Builder
	for _, s := range []string{
		"ip link del plumb-vxlan 2>/dev/null || true", "ip link add plumb-vxlan-v6 type vxlan id 9 dstport 4789 2>/dev/null || true",
		"ip link add plumb-vxlan type vxlan id 5 local 172.18.0.1 dev eth0 dstport 4789 nolearning 2>/dev/null || true",
		"ip link set plumb-vxlan mtu 1300 address 02:00:00:00:00:09 2>/dev/null || true",
		"ip addr add 10.1.0.9/24 dev plumb-vxlan 2>/dev/null || true", "ip addr flush dev plumb-vxlan-v6 2>/dev/null || true",
		"bridge fdb append 00:00:00:00:00:00 dev plumb-vxlan dst 172.18.0.9 2>/dev/null || true",
		"bridge fdb add 02:00:00:00:00:01 dev plumb-vxlan dst 172.18.0.9 2>/dev/null || true",
		"ip neigh replace 10.1.2.0 lladdr 02:00:00:00:00:01 dev plumb-vxlan nud permanent 2>/dev/null || true",
		"ip link add plumb-ipip type bridge 2>/dev/null || true",
	} {
		if rnd.IntN(3) == 0 {
			b.WriteString(s + "\n")
		}
	}
	return b.String()
}

// randomFile is a valid state of node n0 and some others, with tunnels where overlays
// is given.
func randomFile(rnd, overlays *rand.Rand) string {
	var b strings.Builder
	yes := func() bool { return rnd.IntN(2) == 0 }
	vni := 5
	if overlays != nil {
		vni += overlays.IntN(2)
	}
	tunnel := func() string {
		if overlays == nil || overlays.IntN(2) == 0 {
			return ""
		}
		return fmt.Sprintf(", encapsulation: vxlan, encapsulate: %s, vxlan: {vni: %d}", []string{"always", "crossSubnet"}[overlays.IntN(2)], vni)
	}
	fmt.Fprintf(&b, "apiVersion: plumb/v1\npools:\n  - {cidr: 10.1.0.0/16, natOutgoing: %t%s}\n  - {cidr: \"fd01::/56\", natOutgoing: %t%s}\n", yes(), tunnel(), yes(), tunnel())
	if yes() {
		fmt.Fprintf(&b, "  - {cidr: 10.2.0.0/16, natOutgoing: %t}\n", yes())
	}
	if yes() {
		fmt.Fprintf(&b, "nat: {fullyRandom: %t, exclude: [192.0.2.0/24]", yes())
		if yes() {
			b.WriteString(", portRange: 30000-40000")
		}
		if yes() {
			b.WriteString(", address: 198.51.100.7")
		}
		b.WriteString("}\n")
	}
	b.WriteString("nodes:\n  - {name: n0, addresses: [172.18.0.1/24, \"fd00:18::1/64\"], podCIDRs: [10.1.0.0/24, \"fd01::/64\"]}\n")
	for i := 1; i <= rnd.IntN(4); i++ {
		six := fmt.Sprintf(", \"fd00:18::%d/64\"", 1+i)
		if overlays != nil && overlays.IntN(2) == 0 {
			six = fmt.Sprintf(", \"fd00:19::%d/64\"", 1+i) // behind a router
		}
		if overlays != nil && overlays.IntN(3) == 0 {
			six = "" // its IPv6 pods go over IPv4, where they can
		}
		fmt.Fprintf(&b, "  - {name: n%d, addresses: [172.18.%d.%d/16%s], podCIDRs: [10.1.%d.0/24, \"fd01:0:0:%d::/64\"]}\n",
			i, rnd.IntN(2), 1+i, six, i, i)
	}
	b.WriteString("endpoints:\n")
	for i := range 6 {
		if yes() {
			fmt.Fprintf(&b, "  - {name: e%d, node: n0, interface: %s, addresses: [10.1.0.%d, \"fd01::%d\"]}\n",
				i, []string{"plb0", "plb1", "plb2", "plb3", "tap0", "missing0"}[i], 5+i, 5+i)
		}
	}
	return b.String()
}
