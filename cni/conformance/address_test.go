package conformance

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// A freed address rests: who still talks to its last owner must not reach the next.
func TestAddressesAreNotUsedAgainAtOnce(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{podCIDRs: `10.244.1.0/28, "fd00:10:244:1::/124"`})
		p := n.pod("one")
		var last []string
		for range 10 {
			now := addresses(p.add())
			p.del()
			for _, a := range now {
				if slices.Contains(last, a) {
					t.Fatalf("%s again, at once", a)
				}
			}
			last = append(last, now...)
		}
	})
}

// An address that the state file gives to a VM is not a pod's.
func TestEndpointsOfTheFileKeepTheirAddresses(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{podCIDRs: "10.244.1.0/29", more: `
endpoints:
  - {name: db-vm, node: worker1, interface: tap0, addresses: [10.244.1.3]}
  - {name: db-vm2, node: worker1, interface: tap1, addresses: [10.244.1.4]}
`})
		got := map[string]bool{}
		for _, p := range n.pods(8) {
			r, err := p.tryAdd()
			if err != nil {
				if code(err) != 11 {
					t.Error(err)
				}
				break
			}
			got[addresses(r)[0]] = true
		}
		if len(got) < 3 || got["10.244.1.3"] || got["10.244.1.4"] {
			t.Errorf("pods got %v", got)
		}
	})
}

func TestOneFamilyOrBoth(t *testing.T) {
	for _, c := range []struct {
		name, podCIDRs string
		v4, v6         bool
	}{
		{"IPv4", "10.244.1.0/24", true, false},
		{"IPv6", `"fd00:10:244:1::/64"`, false, true},
		{"both", `10.244.1.0/24, "fd00:10:244:1::/64"`, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				n := newNode(t, layout{podCIDRs: c.podCIDRs})
				one, two := n.pod("one"), n.pod("two")
				r := one.add()
				two.add()
				if got, want := len(r.IPs), map[bool]int{true: 2, false: 1}[c.v4 && c.v6]; got != want {
					t.Fatalf("%v", r)
				}
				if c.v4 {
					one.ping(n.address4)
					two.ping(n.addressOf(one, "-4"))
					n.ping(n.addressOf(two, "-4"))
				} else if got := one.sh("ip -4 route; ip -4 -br address show dev eth0"); strings.Contains(got, "169.254") {
					t.Errorf("IPv4 in the pod: %s", got)
				}
				if c.v6 {
					one.ping(n.address6)
					two.ping(n.addressOf(one, "-6"))
					n.ping(n.addressOf(two, "-6"))
				} else if got := one.sh("ip -6 route show default; ip -6 -br address show scope global"); got != "" {
					t.Errorf("IPv6 in the pod: %s", got)
				}
				if err := one.check(); err != nil {
					t.Error(err)
				}
				one.del()
				two.del()
				n.clean("DEL")
			})
		})
	}
}

// A node without podCIDRs has nothing to give, which is the file's fault.
func TestNodeWithoutPodCIDRs(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{podCIDRs: "10.244.1.0/24"})
		n.sh("sed -i 's/, podCIDRs: .10.244.1.0.*/}/' %s", n.file)
		p := n.pod("one")
		if _, err := p.tryAdd(); code(err) != 7 || !strings.Contains(err.Error(), "worker1") || !strings.Contains(err.Error(), "podCIDR") {
			t.Errorf("ADD: code %d: %v", code(err), err)
		}
		if err := n.status(); code(err) != 50 && code(err) != 51 {
			t.Errorf("STATUS: %v", err)
		}
		n.clean("a failed ADD")
	})
}

// fixed gives the changes that ask for addresses as runtimes do, in both ways.
var fixed = []struct {
	name string
	ask  func(list ...string) (c conf, args string)
}{
	{"capability", func(list ...string) (conf, string) {
		return conf{"capabilities": conf{"ips": true}, "runtimeConfig": conf{"ips": list}}, ""
	}},
	{"argument", func(list ...string) (conf, string) { return nil, "IP=" + strings.Join(list, ",") }},
}

func TestFixedAddresses(t *testing.T) {
	for _, how := range fixed {
		t.Run(how.name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				n := newNode(t, layout{more: `
endpoints:
  - {name: db-vm, node: worker1, interface: tap0, addresses: [10.244.1.200]}
`})
				add := func(p pod, list ...string) reply {
					c, args := how.ask(list...)
					return n.raw(n.stdin(c), p.env("ADD", "CNI_ARGS="+args)...)
				}
				pods := n.pods(5)
				add(pods[0], "10.244.1.77", "fd00:10:244:1::77").ok(n, "both families")
				if got := n.addressOf(pods[0], "-4") + " " + n.addressOf(pods[0], "-6"); got != "10.244.1.77 fd00:10:244:1::77" {
					t.Errorf("got %s", got)
				}
				pods[0].ping(n.address4)
				// One family is asked for: the other comes as without.
				add(pods[1], "fd00:10:244:1::78").ok(n, "IPv6 alone")
				if got := n.addressOf(pods[1], "-6"); got != "fd00:10:244:1::78" {
					t.Errorf("got %s", got)
				}
				before := n.holds()
				for _, c := range []struct {
					what, words string
					list        []string
				}{
					{"taken", "10.244.1.77", []string{"10.244.1.77"}},
					{"taken IPv6, free IPv4", "fd00:10:244:1::78", []string{"10.244.1.90", "fd00:10:244:1::78"}},
					{"an endpoint's of the file", "10.244.1.200", []string{"10.244.1.200"}},
					{"outside all pools", "192.0.2.1", []string{"192.0.2.1"}},
					{"another node's podCIDR", "10.244.2.9", []string{"10.244.2.9"}},
					{"the node's own", n.address4, []string{n.address4}},
					{"no address", "ten", []string{"ten"}},
					{"two of one family", "10.244.1.8", []string{"10.244.1.80", "10.244.1.81"}},
				} {
					e := add(pods[2], c.list...).failure(n)
					if !strings.Contains(e.Msg+e.Details, c.words) {
						t.Errorf("%s: %v", c.what, e)
					}
					n.same(before, c.what)
				}
				for _, p := range pods[:2] {
					p.call("DEL").ok(n, "DEL")
				}
				n.clean("DEL")
				// Once free, it can be asked for at once.
				add(pods[3], "10.244.1.77").ok(n, "the same address, freed")
				if got := n.addressOf(pods[3], "-4"); got != "10.244.1.77" {
					t.Errorf("got %s", got)
				}
			})
		})
	}
}

// Some runtimes (and the convention for the ips capability) write a prefix's length.
func TestFixedAddressWithPrefixLength(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		r := p.add(conf{"runtimeConfig": conf{"ips": []string{"10.244.1.77/24"}}, "capabilities": conf{"ips": true}})
		if got := r.IPs[0].Address.String(); got != "10.244.1.77/32" {
			t.Errorf("got %s", got)
		}
	})
}

// Addresses are given out in the node's podCIDRs, each once, and none that is the
// network's or the broadcast address.
func TestAddressesAreInThePodCIDR(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{podCIDRs: `10.244.1.16/28, "fd00:10:244:1::/64"`})
		v4, v6 := netip.MustParsePrefix("10.244.1.16/28"), netip.MustParsePrefix("fd00:10:244:1::/64")
		for _, p := range n.pods(12) {
			a := addresses(p.add())
			if a[0] == "10.244.1.16" || a[0] == "10.244.1.31" || a[1] == "fd00:10:244:1::" ||
				!v4.Contains(netip.MustParseAddr(a[0])) || !v6.Contains(netip.MustParseAddr(a[1])) {
				t.Errorf("%v", a)
			}
		}
	})
}
