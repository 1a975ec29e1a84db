package main

import (
	"encoding/json"
	"errors"
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
			r, text := f.trace(strings.Fields(c.args)...)
			if !r.OK() || len(r.Warnings) > 0 {
				t.Errorf("%s: %s\n%s", c.args, r.Outcome, text)
			}
			flat := strings.Join(strings.Fields(text), " ")
			for _, s := range c.says {
				if !strings.Contains(flat, s) {
					t.Errorf("%s: does not say %q\n%s", c.args, s, text)
				}
			}
			if testing.Verbose() {
				t.Log(text)
			}
		}
		for _, c := range []struct{ name, file, place, why string }{
			{"only one side encapsulates", fabricState("", crossSubnet), "node n3", "there is no device plumb-vxlan: 172.18.1.11 encapsulates, and n3 does not"},
			{"another VNI", fabricState(crossSubnet+", vxlan: {vni: 77, port: 4789}", crossSubnet+", vxlan: {vni: 77, port: 4789}"), "node n3", "the two ends do not agree: vni 77, port 4789 here, and vni 4096, port 4789 at 172.18.1.11"},
			{"the sender is no node", strings.Replace(fabricState(crossSubnet, crossSubnet), "172.18.1.11/24", "172.18.1.99/24", 1), "node n3", "nftables chain inet plumb input drops it: 172.18.1.11 is not in @nodes4"},
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
