package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/trace"
)

// trace traces from n1, with its agent and those of the others.
func (f *fabric) trace(args ...string) (*trace.Trace, string) {
	f.t.Helper()
	var out, text strings.Builder
	cmd := exec.Command(f.plumb, append(append([]string{"trace", "--sockets", f.dir, "-o", "json"}, args...), f.flags("n1")...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Do("n1", cmd.Start); err != nil {
		f.t.Fatal(err)
	}
	_ = cmd.Wait() // what it says counts
	var r trace.Trace
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		f.t.Fatalf("trace %s: %v\n%s", args, err, out.String())
	}
	if err := r.Write(&text, nil); err != nil {
		f.t.Fatal(err)
	}
	return &r, text.String()
}

// Through a tunnel and out of it; and what is wrong where only one side encapsulates.
func TestTraceThroughTunnels(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		f := newFabric(t)
		for _, n := range fabricNodes {
			f.save(n, fabricState(crossSubnet, crossSubnet))
		}
		f.start()
		for _, c := range []struct {
			args string
			says []string
		}{
			{"p1 p2", []string{"route 10.244.2.0/24 via 172.18.1.12 dev eth0"}},
			{"p1 p3", []string{
				"route 10.244.3.0/24 via 10.244.3.0 dev plumb-vxlan",
				"tunnel 172.18.1.11 > 172.18.2.13 (VXLAN, vni 4096, port 4789",
				"route default via 172.18.1.1 dev eth0",
				"node n3 in eth0 up, mtu 1500", "tunnel plumb-vxlan up, mtu 1450, vni 4096, port 4789",
			}},
			{"p1 p3 -6", []string{"tunnel fc00:1::11 > fc00:2::13 (VXLAN", "tunnel plumb-vxlan-v6 up, mtu 1430"}},
			{"n1 p3", []string{"tunnel 172.18.1.11 > 172.18.2.13"}},
			{"n1 p3 --live", []string{"probe sent echo reply", "10.244.1.0 > 10.244.3.5 inet plumb postrouting"}},
		} {
			// What marks a probe's packets is looked at for a moment only.
			f.eventually(c.args, func() error {
				r, text := f.trace(strings.Fields(c.args)...)
				if !r.OK() || len(r.Warnings) > 0 {
					return fmt.Errorf("%s\n%s", r.Outcome, text)
				}
				flat := strings.Join(strings.Fields(text), " ")
				for _, s := range c.says {
					if !strings.Contains(flat, s) {
						return fmt.Errorf("does not say %q\n%s", s, text)
					}
				}
				if testing.Verbose() {
					t.Log(text)
				}
				return nil
			})
		}
		for _, c := range []struct{ name, file, place, why string }{
			{"only one side encapsulates", fabricState("", crossSubnet), "node n3", "there is no device plumb-vxlan: 172.18.1.11 encapsulates, and n3 does not"},
			{"another VNI", fabricState(crossSubnet+", vxlan: {vni: 77, port: 4789}", crossSubnet+", vxlan: {vni: 77, port: 4789}"), "node n3", "the two ends do not agree: vni 77, port 4789 here, and vni 4096, port 4789 at 172.18.1.11"},
			{"the sender is no node", strings.Replace(fabricState(crossSubnet, crossSubnet), "172.18.1.11/24", "172.18.1.99/24", 1), "node n3", "nftables chain inet plumb input drops it: udp port 4789, 172.18.1.11 is not in @nodes4"},
		} {
			f.save("n3", c.file)
			f.eventually(c.name, func() error {
				r, text := f.trace("p1", "p3")
				if r.OK() || r.Fault.Place != c.place || !strings.Contains(r.Fault.Why, c.why) {
					return errors.New(text)
				}
				return nil
			})
		}
		if f.hasIPIP() {
			f.traceThroughIPIP()
		}
	})
}

// What is wrong between two nodes of one wire, below their tunnel.
func TestTraceBelowTunnels(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		const always = ", encapsulation: vxlan"
		f := newFabric(t)
		for _, n := range fabricNodes {
			f.save(n, fabricState(always, always))
		}
		f.start()
		for _, c := range []struct{ name, at, how, mend, args, place, why, says string }{
			{
				"another MAC address", "n1", "ip neigh replace 172.18.1.12 lladdr 02:00:00:00:00:99 nud permanent dev eth0", "ip neigh del 172.18.1.12 dev eth0", "",
				"node n2", "node n1 sends to 02:00:00:00:00:99, and eth0 has ", "on node n1: ip neigh del 172.18.1.12 dev eth0",
			},
			{
				"another MAC address, IPv6", "n1", "ip neigh replace fc00:1::12 lladdr 02:00:00:00:00:99 nud permanent dev eth0", "ip neigh del fc00:1::12 dev eth0", "-6",
				"node n2", "node n1 sends to 02:00:00:00:00:99, and eth0 has ", "on node n1: ip neigh del fc00:1::12 dev eth0",
			},
			{
				"MTU smaller at the far end", "n2", "ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500", "",
				"node n2", "packets of more than 1350 bytes vanish: eth0 of node n1 has mtu 1500, and sends to eth0 with mtu 1400, of which the tunnel's header takes 50", "ip link set eth0 mtu 1500",
			},
			{
				"the far end's address is gone", "n2", "ip addr del 172.18.1.12/24 dev eth0", "ip addr add 172.18.1.12/24 dev eth0; ip route replace default via 172.18.1.1", "",
				"node n2", "no device of n2 has the address 172.18.1.12", "ip address add 172.18.1.12",
			},
		} {
			f.sh(c.at, c.how)
			args := append([]string{"p1", "p2"}, strings.Fields(c.args)...)
			f.eventually(c.name, func() error {
				r, text := f.trace(args...)
				if r.OK() || r.Fault.Place != c.place || !strings.Contains(r.Fault.Why, c.why) || !strings.Contains(r.Fault.Mend, c.says) {
					return errors.New(text)
				}
				return nil
			})
			to, size := pod4("n2"), ""
			if strings.Contains(c.name, "MTU") {
				size = "-s 1370 -M do " // within n1's tunnel, and its answer would be told
			}
			if c.args != "" {
				to = pod6("n2")
			}
			if out, err := f.try("p1", "ping -n -c1 -W1 "+size+to); err == nil {
				t.Errorf("%s: traced so, and a ping: %s", c.name, out)
			}
			f.sh(c.at, c.mend)
			f.eventually(c.name+", mended", func() error {
				r, text := f.trace(args...)
				if !r.OK() || len(r.Warnings) > 0 {
					return errors.New(text)
				}
				return f.ping("p1", patience, to)
			})
		}
	})
}

// traceThroughIPIP: the same through IPIP, with what is wrong where only one side has it.
func (f *fabric) traceThroughIPIP() {
	f.t.Helper()
	const ipip = ", encapsulation: ipip, encapsulate: crossSubnet"
	for _, n := range fabricNodes {
		f.save(n, fabricState(ipip, crossSubnet))
	}
	for _, c := range []struct{ args, says string }{
		{"p1 p3", "route 10.244.3.0/24 via 172.18.2.13 dev plumb-ipip"},
		{"p1 p3", "tunnel 172.18.1.11 > 172.18.2.13 (IP in IP)"},
		{"p1 p3", "tunnel plumb-ipip up, mtu 1480"},
		{"n1 p3 --live", "probe sent echo reply"},
	} {
		f.eventually(c.args+" through IPIP", func() error {
			r, text := f.trace(strings.Fields(c.args)...)
			if !r.OK() || len(r.Warnings) > 0 || !strings.Contains(strings.Join(strings.Fields(text), " "), c.says) {
				return errors.New(c.says + " is not said:\n" + text)
			}
			return nil
		})
	}
	f.save("n3", fabricState("", crossSubnet))
	f.eventually("only one side encapsulates", func() error {
		r, text := f.trace("p1", "p3")
		if r.OK() || r.Fault.Place != "node n3" || !strings.Contains(r.Fault.Why, "there is no device plumb-ipip") {
			return errors.New(text)
		}
		return nil
	})
}
