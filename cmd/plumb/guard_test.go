package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/render"
)

// TestOverlayIsGuarded: nobody but a node hands packets to a tunnel, by whichever way
// they are sent: frames that are right in all but that never reach the pod.
func TestOverlayIsGuarded(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		f := newFabric(t)
		const pool = ", encapsulation: vxlan"
		for _, n := range fabricNodes {
			f.save(n, fabricState(pool, pool+", natOutgoing: true"))
		}
		f.start()
		// An address of n3 that is not in the file; services of n1 and n2 that lead to nodes.
		f.sh("n3", "ip addr add 172.18.2.99/24 dev eth0; ip addr add fc00:2::99/64 dev eth0 nodad")
		f.sh("n1", services("198.51.100.1", "2001:db8:1::1", 53))
		f.sh("n2", services("172.18.1.12", "fc00:1::12", 30000))
		for _, pod := range []string{"p2", "p3"} {
			f.sh(pod, "nft 'table inet seen { chain seen { type filter hook prerouting priority 0; udp dport 7777 counter; }; }'")
		}
		for _, c := range []struct {
			what      string
			from      string // empty: the router
			to, to6   string
			at, hook  string // where it comes, and does not pass
			how, how6 string
		}{
			{"a stranger", "", "172.18.2.13 4789", "fc00:2::13 4789", "n3", "input", "saddr 172.18.2.1", "saddr fc00:2::1"},
			{"a stranger through a service", "", "172.18.1.12 30000", "fc00:1::12 30000", "n2", "postrouting", "daddr 172.18.2.13", "daddr fc00:2::13"},
			{"a pod", "p1", "172.18.2.13 4789", "fc00:2::13 4789", "n1", "postrouting", "saddr 10.244.1.5", "saddr fd00:10:244:1::5"},
			{"a pod, to its own node", "p1", "172.18.1.11 4789", "fc00:1::11 4789", "n1", "input", "saddr 10.244.1.5", "saddr fd00:10:244:1::5"},
			{"a pod, to an address that is not in the file", "p1", "172.18.2.99 4789", "fc00:2::99 4789", "n3", "input", "saddr 172.18.1.11", "saddr fc00:1::11"},
			{"a pod through a service", "p1", "198.51.100.1 53", "2001:db8:1::1 53", "n1", "postrouting", "daddr 172.18.2.13", "daddr fc00:2::13"},
			{"a pod through a service of another node", "p1", "172.18.1.12 30000", "fc00:1::12 30000", "n2", "postrouting", "daddr 172.18.2.13", "daddr fc00:2::13"},
			{"a pod through a service to that node", "p1", "172.18.1.12 30001", "fc00:1::12 30001", "n2", "input", "saddr 172.18.1.11", "saddr fc00:1::11"},
		} {
			inside := "p3"
			if strings.HasSuffix(c.to, " 30001") {
				inside = "p2"
			}
			for _, v := range []struct{ ip, to, how string }{{"ip", c.to, c.how}, {"ip6", c.to6, c.how6}} {
				what := c.what + ", " + v.ip
				passed := f.witness(c.at, c.hook, 0, v.ip+" "+v.how+" udp dport 4789")
				f.inject(c.from, v.to, inside)
				passed(what)
				if f.injected(inside) != 0 {
					t.Errorf("%s: it reached the pod", what)
				}
			}
		}
		// The frames and the counters are right: from a node they arrive.
		f.inject("n1", "172.18.2.13 4789", "p3")
		f.inject("n1", "fc00:2::13 4789", "p3")
		f.eventually("a node's frames reach the pod", func() error {
			if n := f.injected("p3"); n != 2 {
				return fmt.Errorf("%d frames", n)
			}
			return nil
		})
		for _, from := range []string{"p1", "p2", "p3"} {
			if err := f.ping(from, patience, pod4("n1"), pod6("n1"), pod4("n2"), pod6("n2"), pod4("n3"), pod6("n3")); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestOverlayWithNodesInsideAPool: a pool may cover the nodes' own addresses.
func TestOverlayWithNodesInsideAPool(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		f := newFabric(t)
		const pool = ", encapsulation: vxlan"
		more := "\n  - {cidr: 172.18.0.0/16, natOutgoing: true" + pool + "}\n  - {cidr: 'fc00::/29'" + pool + "}\nnodes:"
		for _, n := range fabricNodes {
			f.save(n, strings.Replace(fabricState(pool, pool), "\nnodes:", more, 1))
		}
		f.start()
		if err := f.ping("p1", patience, pod4("n2"), pod6("n2"), pod4("n3"), pod6("n3")); err != nil {
			t.Error(err)
		}
	})
}

// TestOverlayMasqueradesWithOtherPorts: answers to what is masqueraded never come to the
// port of VXLAN, though the pod itself sends from that, or the range hardly leaves another.
func TestOverlayMasqueradesWithOtherPorts(t *testing.T) {
	for name, nat := range map[string]string{"kept": "{fullyRandom: false}", "random": "{portRange: 4789-4790}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				f := newFabric(t)
				const pool = ", encapsulation: vxlan"
				for _, n := range fabricNodes {
					f.save(n, fabricState(pool, pool+", natOutgoing: true")+"nat: "+nat+"\n")
				}
				f.start()
				nstest.Sh(t, `nft 'table inet seen { chain port {
						type filter hook prerouting priority 0
						udp dport 1000-1100 udp sport 4789 counter
						udp dport 1000-1100 udp sport != 4789 counter
					}; }'`)
				const each = 20
				for _, to := range []string{"172.18.1.1", "[fc00:1::1]"} {
					if err := ns.Do("p1", func() error { return sendFrom(4789, to, each) }); err != nil {
						t.Fatal(err)
					}
				}
				f.eventually("all come, and none from 4789", func() error {
					rules := nstest.Sh(t, "nft list chain inet seen port")
					if !strings.Contains(rules, "udp sport 4789 counter packets 0 ") || !strings.Contains(rules, fmt.Sprintf("counter packets %d ", 2*each)) {
						return errors.New(rules)
					}
					return nil
				})
			})
		})
	}
}

// sendFrom sends datagrams from one port to as many others, each a connection of its own.
func sendFrom(port int, to string, count int) error {
	c, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range count {
		a, err := net.ResolveUDPAddr("udp", fmt.Sprintf("%s:%d", to, 1000+i))
		if err == nil {
			_, err = c.WriteTo([]byte("not a tunnel's"), a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// services are like kube-proxy's: from a port at an address to n3, and from the next
// port to n2, with masquerade.
func services(at, at6 string, port int) string {
	return fmt.Sprintf(`nft 'table inet services {
		chain to { type nat hook prerouting priority -100
			ip daddr %[1]s udp dport %[3]d dnat ip to 172.18.2.13:4789
			ip6 daddr %[2]s udp dport %[3]d dnat ip6 to [fc00:2::13]:4789
			ip daddr %[1]s udp dport %[4]d dnat ip to 172.18.1.12:4789
			ip6 daddr %[2]s udp dport %[4]d dnat ip6 to [fc00:1::12]:4789
		}
		chain from { type nat hook postrouting priority 100; ct status dnat masquerade; }
	}'`, at, at6, port, port+1)
}

// inject sends a VXLAN frame for a pod that seems to come from another pod.
func (f *fabric) inject(from, to, pod string) {
	f.t.Helper()
	host, port, _ := strings.Cut(to, " ")
	node, other := "n"+number(pod), "n1"
	src, dst := pod4(other), pod4(node)
	if strings.Contains(host, ":") {
		src, dst = pod6(other), pod6(node)
	}
	b := frame(render.TunnelMAC(node), netip.MustParseAddr(src), netip.MustParseAddr(dst))
	do := func() error { return send("udp", net.JoinHostPort(host, port), b) }
	if from != "" {
		here := do
		do = func() error { return ns.Do(from, here) }
	}
	if err := do(); err != nil {
		f.t.Error(err)
	}
}

// injected is how many such frames a pod got.
func (f *fabric) injected(pod string) (n int) {
	f.t.Helper()
	rules := f.sh(pod, "nft list table inet seen")
	if m := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(rules); m != nil {
		_, _ = fmt.Sscan(m[1], &n)
	}
	return n
}

// frame is a datagram to port 7777 in VXLAN 4096 (RFC 7348, section 5).
func frame(mac string, src, dst netip.Addr) []byte {
	hw, _ := net.ParseMAC(mac)
	b := append([]byte{8, 0, 0, 0, 0, 16, 0, 0}, hw...)
	b = append(b, 2, 0, 0, 0, 0, 1)
	udp := []byte{0, 1, 7777 >> 8, 7777 & 255, 0, 8, 0, 0}
	if src.Is6() {
		b = append(b, 0x86, 0xdd, 6<<4, 0, 0, 0, 0, byte(len(udp)), 17, 64)
		return append(append(append(b, src.AsSlice()...), dst.AsSlice()...), udp...)
	}
	ip := append(append([]byte{4<<4 | 5, 0, 0, byte(20 + len(udp)), 0, 0, 0, 0, 64, 17, 0, 0}, src.AsSlice()...), dst.AsSlice()...)
	sum := uint32(0)
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	return append(append(append(b, 8, 0), ip...), udp...)
}

// witness counts packets before and after plumb's chain in a hook. What it gives
// says whether they came, and did not pass.
func (f *fabric) witness(node, hook string, priority int, match string) func(what string) {
	f.t.Helper()
	f.sh(node, fmt.Sprintf(`nft delete table inet witness 2>/dev/null || true
		nft -f - <<-END
		table inet witness {
			chain before { type filter hook %[1]s priority %[2]d; %[4]s counter; }
			chain after { type filter hook %[1]s priority %[3]d; %[4]s counter; }
		}
		END`, hook, priority-1, priority+1, match))
	return func(what string) {
		f.t.Helper()
		f.eventually(what+" comes, and does not pass", func() error {
			rules := f.sh(node, "nft list table inet witness")
			counts := regexp.MustCompile(`counter packets (\d+)`).FindAllStringSubmatch(rules, -1)
			if len(counts) != 2 || counts[0][1] == "0" || counts[1][1] != "0" {
				return errors.New(rules)
			}
			return nil
		})
	}
}
