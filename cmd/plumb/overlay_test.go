package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/lab/probe"
)

const crossSubnet = ", encapsulation: vxlan, encapsulate: crossSubnet"

// TestOverlayAcrossSubnets: every pod reaches every pod, of both families, and what
// crosses the router, and only that, is encapsulated. Strangers are kept out.
func TestOverlayAcrossSubnets(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		f := newFabric(t)
		for _, n := range fabricNodes {
			f.save(n, fabricState(crossSubnet, crossSubnet))
		}
		f.start()
		seen := f.capture(func() {
			for _, from := range fabricNodes {
				for _, to := range fabricNodes {
					for _, a := range []string{pod4(to), pod6(to)} {
						if err := f.ping("p"+number(from), patience, a); err != nil {
							t.Error(err)
						}
						if err := f.ping(from, patience, a); err != nil {
							t.Error(err)
						}
					}
				}
			}
			// From an address that is not the tunnel's, the answer would not come back.
			f.sh("n1", "ping -c1 -W5 -I 172.18.1.11 10.244.3.5; ping -c1 -W5 -I fc00:1::11 fd00:10:244:3::5")
		})
		for _, want := range []string{
			`IP 172\.18\.1\.11\.\d+ > 172\.18\.2\.13\.4789: VXLAN`, `IP 172\.18\.2\.13\.\d+ > 172\.18\.1\.12\.4789: VXLAN`,
			`IP6 fc00:1::11\.\d+ > fc00:2::13\.4789: VXLAN`,
			`IP 10\.244\.1\.5 > 10\.244\.2\.5: ICMP echo request`, `IP6 fd00:10:244:1::5 > fd00:10:244:2::5: ICMP6, echo request`,
		} {
			if !outer(want).MatchString(seen) {
				t.Errorf("not on the wires: %s", want)
			}
		}
		for _, never := range []string{
			`IP 172\.18\.1\.1[12]\.\d+ > 172\.18\.1\.1[12]\.4789.*`, `IP6 fc00:1::1[12]\.\d+ > fc00:1::1[12]\.4789.*`, // needless
			`IP 10\.244\.[12]\.\d > 10\.244\.3\.5.*`, `IP6 fd00:10:244:[12]::5 > fd00:10:244:3::5.*`, // plain to the router
		} {
			if line := outer(never).FindString(seen); line != "" {
				t.Errorf("on the wires: %s", line)
			}
		}
		f.widthOfTheTunnel()
		f.strangers()
	})
}

// outer matches the headers of packets as they are on a wire: tcpdump prints what is
// inside VXLAN on a line of its own, without time and device.
func outer(text string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^[0-9:.]+ wire-\S+ +(In|Out|B|M|P) +` + text)
}

// capture gives what tcpdump sees of pods' and tunnels' packets on the wires.
func (f *fabric) capture(do func()) string {
	f.t.Helper()
	path := filepath.Join(f.dir, "fabric.pcap")
	cmd := exec.Command("tcpdump", "-i", "any", "-n", "-U", "--immediate-mode", "-w", path, "udp port 4789 or net 10.244.0.0/16 or net fd00:10:244::/56")
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = cmd.Process.Kill() })
	// It listens once it has seen a packet.
	f.eventually("tcpdump listens", func() error {
		_ = f.ping("n1", time.Second, pod4("n3"))
		out, err := exec.Command("tcpdump", "-n", "-r", path).Output()
		if err != nil || len(out) == 0 {
			return fmt.Errorf("nothing captured: %w", errors.Join(err, errors.New("no packet")))
		}
		return nil
	})
	do()
	time.Sleep(100 * time.Millisecond) // it writes what it has with a delay of its own
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
	out, err := exec.Command("tcpdump", "-n", "-r", path).Output()
	if err != nil {
		f.t.Fatal(err)
	}
	return string(out)
}

// widthOfTheTunnel: 1450 bytes pass over IPv4 in one piece, and not one more.
func (f *fabric) widthOfTheTunnel() {
	f.t.Helper()
	f.sh("p1", "ip link set eth0 mtu 1500")
	f.sh("p3", "ip link set eth0 mtu 1500")
	f.sh("p1", "ping -c1 -W5 -M do -s 1422 10.244.3.5")
	if out, err := f.try("p1", "ping -c1 -W2 -M do -s 1423 10.244.3.5"); err == nil || !strings.Contains(out, "mtu = 1450") && !strings.Contains(out, "mtu=1450") {
		f.t.Errorf("a wider packet: %v\n%s", err, out)
	}
}

// strangers: VXLAN is taken from nodes alone, and a pod's is not let out to nodes.
func (f *fabric) strangers() {
	f.t.Helper()
	mac := strings.TrimSpace(f.sh("n3", "ip -o link show plumb-vxlan | sed 's/.*ether \\([^ ]*\\).*/\\1/'"))
	stranger := fmt.Sprintf(`
		ip link add strange type vxlan id 4096 local 172.18.2.1 dev rack2 dstport 4789 nolearning
		ip link set strange up
		ip addr add 10.244.77.1/32 dev strange
		ip route add 10.244.3.5 dev strange
		ip neigh add 10.244.3.5 lladdr %[1]s dev strange nud permanent
		bridge fdb add %[1]s dev strange dst 172.18.2.13`, mac)
	nstest.Sh(f.t, stranger)
	passed := f.witness("n3", "input", 0, "ip saddr 172.18.2.1 udp dport 4789")
	_ = exec.Command("ping", "-c1", "-W1", "10.244.3.5").Run()
	passed("a stranger's VXLAN")

	passed = f.witness("n1", "prerouting", -300, "ip saddr 10.244.1.5 udp dport 4789")
	if err := ns.Do("p1", func() error { return sendUDP("172.18.1.12:4789") }); err != nil {
		f.t.Error(err)
	}
	passed("a pod's VXLAN")
}

// witness counts packets before and after plumb's chain in a hook. What it gives
// says whether they came, and did not pass.
func (f *fabric) witness(node, hook string, priority int, match string) func(what string) {
	f.t.Helper()
	f.sh(node, fmt.Sprintf(`nft -f - <<-END
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

// TestEncapsulationChangesLive changes the encapsulation while a pod pings another
// every 10 ms, the second node following the first after most of a second.
func TestEncapsulationChangesLive(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		f := newFabric(t)
		const vxlan = ", encapsulation: vxlan"
		for _, n := range fabricNodes {
			f.save(n, fabricState("", ""))
		}
		f.start()
		steps := []struct{ name, pool4, pool6, dev string }{
			{"vxlan", vxlan, vxlan, "plumb-vxlan"},
			{"crossSubnet", crossSubnet, crossSubnet, "eth0"},
			{"none", "", "", "eth0"},
		}
		if out, _ := f.try("n1", "ip link add probe type ipip local 127.0.0.1 && ip link del probe"); out == "" {
			const ipip = ", encapsulation: ipip"
			steps = append(steps[:1:1], append([]struct{ name, pool4, pool6, dev string }{
				{"ipip", ipip, vxlan, "plumb-ipip"},
				{"crossSubnet ipip", ipip + ", encapsulate: crossSubnet", vxlan, "eth0"},
				{"vxlan again", vxlan, vxlan, "plumb-vxlan"},
			}, steps[1:]...)...)
		}
		for _, s := range steps {
			stop := f.pingOn("p1", pod4("n2"), pod6("n2"))
			for i, n := range fabricNodes {
				if i == 1 {
					time.Sleep(800 * time.Millisecond)
				}
				f.save(n, fabricState(s.pool4, s.pool6))
			}
			f.eventually("the route moves", func() error {
				for _, n := range fabricNodes[:2] {
					to := map[string]string{"n1": "10.244.2.0/24", "n2": "10.244.1.0/24"}[n]
					if out := f.sh(n, "ip route show "+to); !strings.Contains(out, "dev "+s.dev+" ") {
						return errors.New(n + ": " + out)
					}
				}
				return nil
			})
			f.converged()
			for what, p := range stop() {
				t.Logf("to %s: %s: %d of %d packets lost", s.name, what, p.lost, p.sent)
				if p.lost > 0 || p.sent < 50 {
					t.Errorf("to %s: %s: %d of %d packets lost", s.name, what, p.lost, p.sent)
				}
			}
		}
		for _, n := range fabricNodes {
			if out := f.sh(n, "ip link"); strings.Contains(out, "plumb-") {
				t.Errorf("%s: a tunnel is left:\n%s", n, out)
			}
		}
	})
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
					late, cancel := context.WithTimeout(f.t.Context(), 2*time.Second)
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
