package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/lab/probe"
	"github.com/plumbnet/plumb/state"
)

const crossSubnet = ", encapsulation: vxlan, encapsulate: crossSubnet"

// TestOverlayAcrossSubnets: every pod reaches every pod, of both families, and what
// crosses the router, and only that, is encapsulated.
func TestOverlayAcrossSubnets(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		f := newFabric(t)
		for _, n := range fabricNodes {
			f.save(n, fabricState(crossSubnet, crossSubnet))
		}
		f.start()
		seen := wires(t, func() {
			for _, from := range fabricNodes {
				for _, to := range fabricNodes {
					if err := f.ping("p"+number(from), patience, pod4(to), pod6(to)); err != nil {
						t.Error(err)
					}
					if err := f.ping(from, patience, pod4(to), pod6(to)); err != nil {
						t.Error(err)
					}
				}
			}
			// From an address that is not the tunnel's, the answer would not come back.
			f.sh("n1", "ping -c1 -W20 -I 172.18.1.11 10.244.3.5; ping -c1 -W20 -I fc00:1::11 fd00:10:244:3::5")
		})
		for _, want := range []string{
			"172.18.1.11 > 172.18.2.13 udp 4789", "172.18.2.13 > 172.18.1.12 udp 4789", "fc00:1::11 > fc00:2::13 udp 4789",
			"10.244.1.5 > 10.244.2.5 icmp", "fd00:10:244:1::5 > fd00:10:244:2::5 icmp",
		} {
			if !slices.Contains(seen, want) {
				t.Errorf("not on the wires: %s", want)
			}
		}
		needless := regexp.MustCompile(`^(172\.18\.1|fc00:1:)\S+ > (172\.18\.1|fc00:1:)\S+ udp 4789`)
		plain := regexp.MustCompile(`^(10\.244\.3\.|fd00:10:244:3:)| > (10\.244\.3\.|fd00:10:244:3:)`)
		for _, p := range seen {
			if needless.MatchString(p) || plain.MatchString(p) {
				t.Errorf("on the wires: %s", p)
			}
		}
		f.widthOfTheTunnel()
		if f.hasIPIP() {
			f.ipipAcrossSubnets()
		}
	})
}

// hasIPIP says whether this kernel makes IPIP devices: if not, a virtual machine with
// another kernel runs what needs them (make test-vm).
func (f *fabric) hasIPIP() bool {
	_, err := f.try("n1", "ip link add probe type ipip local 127.0.0.1 && ip link del probe")
	return err == nil
}

// ipipAcrossSubnets changes over to IPIP: only what crosses the router is in it, and a
// stranger's is dropped.
func (f *fabric) ipipAcrossSubnets() {
	f.t.Helper()
	for _, n := range fabricNodes {
		f.save(n, fabricState(", encapsulation: ipip, encapsulate: crossSubnet", crossSubnet))
	}
	for _, n := range fabricNodes {
		f.eventually("IPIP comes", func() error { _, err := f.try(n, "ip -d link show plumb-ipip | grep 'remote any'"); return err })
	}
	f.converged()
	seen := wires(f.t, func() {
		for _, from := range fabricNodes {
			if err := f.ping("p"+number(from), patience, pod4("n1"), pod4("n2"), pod4("n3")); err != nil {
				f.t.Error(err)
			}
		}
		f.sh("n1", "ping -c1 -W20 -I 172.18.1.11 10.244.3.5")
	})
	for want, should := range map[string]bool{
		"172.18.1.11 > 172.18.2.13 ipip": true, "172.18.2.13 > 172.18.1.12 ipip": true, "10.244.1.5 > 10.244.2.5 icmp": true,
		"172.18.1.11 > 172.18.1.12 ipip": false, "10.244.1.5 > 10.244.3.5 icmp": false, "172.18.1.11 > 172.18.2.13 udp 4789": false,
	} {
		if slices.Contains(seen, want) != should {
			f.t.Errorf("on the wires: %s: %v", want, !should)
		}
	}
	f.widthOfIPIP()
	nstest.Sh(f.t, `ip link del strange 2>/dev/null || true
		ip link add strange type ipip local 172.18.2.1 remote 172.18.2.13; ip link set strange up
		ip addr add 10.244.77.1/32 dev strange; ip route replace 10.244.3.5 dev strange`)
	passed := f.witness("n3", "input", 0, "ip saddr 172.18.2.1 ip protocol 4")
	_ = exec.Command("ping", "-c1", "-W1", "10.244.3.5").Run()
	passed("a stranger's IPIP")

	passed = f.witness("n1", "postrouting", 0, "ip saddr 10.244.1.5 ip protocol 4")
	if err := ns.Do("p1", func() error { return send("ip4:4", "172.18.1.12", []byte("not a tunnel's")) }); err != nil {
		f.t.Error(err)
	}
	passed("a pod's IPIP")
}

// widthOfIPIP: 1480 bytes pass in one piece and not one more; the device follows the
// uplink; and a route says where its path is narrower than pods' interfaces.
func (f *fabric) widthOfIPIP() {
	f.t.Helper()
	// It has learned of a narrower path, which was VXLAN's.
	f.sh("p1", "ip route flush cache; ip link set eth0 mtu 1500; ping -c1 -W20 -M do -s 1452 10.244.3.5")
	if out, err := f.try("p1", "ping -c1 -W20 -M do -s 1453 10.244.3.5"); err == nil || !strings.Contains(out, "mtu = 1480") && !strings.Contains(out, "mtu=1480") {
		f.t.Errorf("a wider packet: %v\n%s", err, out)
	}
	f.sh("n1", "ip link set eth0 mtu 1400")
	f.eventually("plumb-ipip follows its uplink", func() error { _, err := f.try("n1", "ip link show plumb-ipip | grep 'mtu 1380 '"); return err })
	f.sh("n1", "ip link set eth0 mtu 1500")
	f.eventually("and back", func() error { _, err := f.try("n1", "ip link show plumb-ipip | grep 'mtu 1480 '"); return err })
	f.save("n1", fabricState(", encapsulation: ipip, encapsulate: crossSubnet", crossSubnet)+"settings: {mtu: 1490}\n")
	f.eventually("the route says that its path is narrower", func() error {
		out, err := f.try("n1", "ip route show 10.244.3.0/24")
		if err == nil && !strings.Contains(out, "mtu 1480") {
			err = errors.New(out)
		}
		return err
	})
}

// TestOverlayOverOneFamily: nodes with addresses of one family alone carry the pods'
// packets of both over it.
func TestOverlayOverOneFamily(t *testing.T) {
	for _, c := range []struct{ family, without, device string }{
		{"IPv4", `, 'fc00:[^']*'`, "plumb-vxlan"},
		{"IPv6", `172\.18\.[0-9./]*, `, "plumb-vxlan-v6"},
	} {
		t.Run(c.family, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				f := newFabric(t)
				text := regexp.MustCompile(c.without).ReplaceAllString(fabricState(", encapsulation: vxlan", ", encapsulation: vxlan"), "")
				for _, n := range fabricNodes {
					f.save(n, text)
				}
				f.start()
				for _, from := range []string{"p1", "p3", "n1"} {
					for _, to := range []string{"n1", "n2", "n3"} {
						if err := f.ping(from, patience, pod4(to), pod6(to)); err != nil {
							t.Error(err)
						}
					}
				}
				if out := f.sh("n1", "ip -o link show type vxlan"); strings.Count(out, "\n") != 1 || !strings.Contains(out, c.device+":") {
					t.Errorf("devices: %s", out)
				}
			})
		})
	}
}

// widthOfTheTunnel: 1450 bytes pass over IPv4 in one piece, and not one more.
func (f *fabric) widthOfTheTunnel() {
	f.t.Helper()
	f.sh("p1", "ip link set eth0 mtu 1500")
	f.sh("p3", "ip link set eth0 mtu 1500")
	f.sh("p1", "ping -c1 -W20 -M do -s 1422 10.244.3.5")
	if out, err := f.try("p1", "ping -c1 -W20 -M do -s 1423 10.244.3.5"); err == nil || !strings.Contains(out, "mtu = 1450") && !strings.Contains(out, "mtu=1450") {
		f.t.Errorf("a wider packet: %v\n%s", err, out)
	}
}

// TestEncapsulationChangesLive changes the encapsulation while a pod pings another
// every 10 ms, the second node following the first after half a second.
func TestEncapsulationChangesLive(t *testing.T) {
	for name, bgp := range map[string]string{"static": "", "BGP": "bgp: {asn: 64512, mesh: true}\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) { encapsulationChangesLive(t, bgp) })
		})
	}
}

// encapsulationChangesLive is the same with routes of the file and with learned ones;
// more is what the state files have besides.
func encapsulationChangesLive(t *testing.T, more string) {
	f := newFabric(t)
	const vxlan = ", encapsulation: vxlan"
	for _, n := range fabricNodes {
		f.save(n, fabricState("", "")+more)
	}
	f.start()
	f.eventually("the pods are reached", func() error { return f.ping("p1", time.Second, pod4("n2"), pod6("n2")) })
	steps := []struct{ name, pool4, pool6, dev string }{
		{"vxlan", vxlan, vxlan, "plumb-vxlan"},
		{"crossSubnet", crossSubnet, crossSubnet, "eth0"},
		{"none", "", "", "eth0"},
	}
	if f.hasIPIP() {
		const ipip = ", encapsulation: ipip"
		steps = append(steps[:1:1], append([]struct{ name, pool4, pool6, dev string }{
			{"ipip", ipip, vxlan, "plumb-ipip"},
			{"crossSubnet ipip", ipip + ", encapsulate: crossSubnet", vxlan, "eth0"},
			{"vxlan again", vxlan, vxlan, "plumb-vxlan"},
		}, steps[1:]...)...)
	}
	for _, s := range steps {
		stop := f.pingOn("p1", pod4("n2"), pod6("n2"))
		start := time.Now()
		for i, n := range fabricNodes {
			if i == 1 {
				time.Sleep(500 * time.Millisecond)
			}
			f.save(n, fabricState(s.pool4, s.pool6)+more)
		}
		// A machine so busy that an agent follows too late loses packets with reason: each
		// waits 1.5 s for the other, and n2 has the file half a second later than n1.
		to := map[string]string{"n1": "10.244.2.0/24", "n2": "10.244.1.0/24"}
		var late []string
		for _, c := range []struct {
			node  string
			bound time.Duration
		}{{"n2", 1200 * time.Millisecond}, {"n1", 1700 * time.Millisecond}} {
			sign := "ip route show " + to[c.node] + " | grep 'dev " + s.dev + " '"
			if state.IsTunnel(s.dev) {
				sign = "ip link show " + s.dev
			}
			f.eventually(c.node+" follows", func() error { _, err := f.try(c.node, sign); return err })
			if took := time.Since(start); took > c.bound {
				late = append(late, fmt.Sprintf("%s followed after %s", c.node, took))
			}
		}
		f.eventually("the route moves", func() error {
			for _, n := range fabricNodes[:2] {
				if out := f.sh(n, "ip route show "+to[n]); !strings.Contains(out, "dev "+s.dev+" ") {
					return errors.New(n + ": " + out)
				}
			}
			return nil
		})
		f.converged()
		for what, p := range stop() {
			t.Logf("to %s: %s: %d of %d packets lost", s.name, what, p.lost, p.sent)
			if late != nil {
				t.Log("too late for none to be lost: ", late)
			} else if p.lost > 0 || p.sent < 20 {
				t.Errorf("to %s: %s: %d of %d packets lost", s.name, what, p.lost, p.sent)
			}
		}
	}
	for _, n := range fabricNodes {
		if out := f.sh(n, "ip link"); strings.Contains(out, "plumb-") {
			t.Errorf("%s: a tunnel is left:\n%s", n, out)
		}
	}
}

type pings struct{ sent, lost int }

// pingOn pings every 10 ms until stop is called, which gives what became of it.
func (f *fabric) pingOn(from string, to ...string) (stop func() map[string]pings) {
	var p *probe.Pinger
	if err := ns.Do(from, func() (err error) { p, err = probe.NewPinger(); return err }); err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	var mu sync.Mutex
	result := map[string]pings{}
	var wg sync.WaitGroup
	tick := time.NewTicker(10 * time.Millisecond)
	wg.Go(func() {
		for ctx.Err() == nil {
			<-tick.C
			for _, a := range to {
				wg.Go(func() {
					late, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
					defer cancel()
					_, err := p.Ping(late, netip.MustParseAddr(a))
					mu.Lock()
					defer mu.Unlock()
					r := result[a]
					r.sent++
					if err != nil {
						r.lost++
					}
					result[a] = r
				})
			}
		}
	})
	return func() map[string]pings {
		cancel()
		wg.Wait()
		tick.Stop()
		p.Close()
		return result
	}
}
