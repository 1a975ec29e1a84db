package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/kernel/pod"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/lab/probe"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace"
)

// traced is a network to be traced, and broken: three nodes on a wire, with pods as
// the CNI plugin wires them, and a gateway with what lies beyond it, that knows no
// pods. The nodes are converged once; then their agents only watch (--dry-run), so
// that what is broken stays broken.
//
//	a1 a2   b1 b2   c1       10.244.N.10 … fd00:10:244:N::a …
//	 n1      n2     n3       172.18.0.N   fd00:172:18::N
//	--+------+------+--+---
//	                   gw    172.18.0.254, and 203.0.113.10, 2001:db8::10 beyond
type traced struct {
	t     *testing.T
	dir   string
	plumb string // this program, under the name that makes it plumb
	ends  map[string][]netip.Addr
}

const tracedState = `apiVersion: plumb/v1
pools:
  - cidr: 10.244.0.0/16
    natOutgoing: true
  - cidr: fd00:10:244::/56
    natOutgoing: true
nat:
  exclude: [198.51.100.0/24]
nodes:
  - name: n1
    addresses: [172.18.0.1/24, "fd00:172:18::1/64"]
    podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]
  - name: n2
    addresses: [172.18.0.2/24, "fd00:172:18::2/64"]
    podCIDRs: [10.244.2.0/24, "fd00:10:244:2::/64"]
  - name: n3
    addresses: [172.18.0.3/24, "fd00:172:18::3/64"]
    podCIDRs: [10.244.3.0/24, "fd00:10:244:3::/64"]
`

var tracedPods = map[string][]string{"n1": {"a1", "a2"}, "n2": {"b1", "b2"}, "n3": {"c1"}}

func newTraced(t *testing.T, file string) *traced {
	t.Helper()
	nstest.Sh(t, `
		mount --make-rprivate /
		mount -t tmpfs tmpfs /run; mkdir /run/netns
		ip link add wire type bridge; ip link set wire up`)
	d := &traced{t: t, dir: t.TempDir(), ends: map[string][]netip.Addr{}}
	d.plumb = filepath.Join(d.dir, "plumb")
	self, err := os.Executable()
	if err = errors.Join(err, os.Symlink(self, d.plumb), os.WriteFile(d.file(), []byte(file), 0o644)); err != nil {
		t.Fatal(err)
	}
	for i, n := range []string{"n1", "n2", "n3", "gw"} {
		d.host(n, map[string]int{"gw": 254}[n]+(i+1)*map[bool]int{true: 1}[n != "gw"])
	}
	d.sh("gw", `ip addr add 203.0.113.10/32 dev lo; ip addr add 2001:db8::10/128 dev lo; ip addr add 198.51.100.10/32 dev lo`)
	for node, pods := range tracedPods {
		for i, p := range pods {
			d.pod(node, p, i)
		}
	}
	for n := range tracedPods {
		if out, code := d.run(n, "apply"); code != 0 {
			t.Fatalf("apply on %s: %s", n, out)
		}
	}
	return d
}

func (d *traced) file() string { return filepath.Join(d.dir, "plumb.yaml") }

// host makes a node or the gateway, the n-th on the wire.
func (d *traced) host(name string, n int) {
	d.t.Helper()
	if err := ns.Add(name); err != nil {
		d.t.Fatal(err)
	}
	nstest.Sh(d.t, fmt.Sprintf("ip link add wire-%[1]s type veth peer name eth0 netns %[1]s; ip link set wire-%[1]s master wire up", name))
	gateway := ""
	if name != "gw" {
		gateway = "ip route add default via 172.18.0.254; ip -6 route add default via fd00:172:18::fe"
	}
	suffix := fmt.Sprintf("%x", n)
	d.sh(name, fmt.Sprintf(`
		ip link set lo up
		for c in default eth0; do echo 0 >/proc/sys/net/ipv6/conf/$c/accept_dad; done
		ip addr add 172.18.0.%d/24 dev eth0; ip addr add fd00:172:18::%s/64 dev eth0 nodad
		ip link set eth0 up
		%s`, n, suffix, gateway))
}

// pod wires a pod as the CNI plugin does, and records it.
func (d *traced) pod(node, name string, i int) {
	d.t.Helper()
	if err := ns.Add(name); err != nil {
		d.t.Fatal(err)
	}
	n := node[1:]
	e := state.Endpoint{
		ID: name + "/eth0", Name: "default/" + name, Interface: pod.HostEndName(name, "eth0"), Network: "plumb",
		ContainerID: name, IfName: "eth0", NetNS: ns.Path(name),
		Addresses: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.244.%s.%d", n, 10+i)), netip.MustParseAddr(fmt.Sprintf("fd00:10:244:%s::%x", n, 10+i))},
	}
	d.ends[name] = e.Addresses
	err := ns.Do(node, func() error {
		return pod.Wire(context.Background(), pod.Spec{HostEnd: e.Interface, IfName: "eth0", NetNS: e.NetNS, Addresses: e.Addresses})
	})
	if err = errors.Join(err, agent.Endpoints(d.stateDir(node)).Put(e)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *traced) stateDir(node string) string { return filepath.Join(d.dir, node+".state") }

// end is the host end of a pod.
func end(pod1 string) string { return pod.HostEndName(pod1, "eth0") }

// watch starts the agents, that only look on; kill ends the last as kill -9 does.
func (d *traced) watch(nodes ...string) (kill func()) {
	d.t.Helper()
	for _, n := range nodes {
		var log bytes.Buffer
		cmd := exec.Command(d.plumb, append([]string{"agent", "--dry-run", "--http", ""}, d.flags(n)...)...)
		cmd.Stdout, cmd.Stderr = &log, &log
		if err := ns.Do(n, cmd.Start); err != nil {
			d.t.Fatal(err)
		}
		d.t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
			if d.t.Failed() {
				d.t.Logf("%s:\n%s", n, log.String())
			}
		})
		socket := filepath.Join(d.dir, n+".sock")
		for end := time.Now().Add(patience); !answers(socket); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				d.t.Fatalf("the agent of %s does not answer: %s", n, log.String())
			}
		}
		kill = func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	return kill
}

func (d *traced) flags(node string) []string {
	return []string{"-f", d.file(), "--node", node, "--state-dir", d.stateDir(node), "--socket", filepath.Join(d.dir, node+".sock")}
}

// run runs plumb on a node.
func (d *traced) run(node string, args ...string) (string, int) {
	d.t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(d.plumb, append(args, d.flags(node)...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := ns.Do(node, cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// trace traces from n1.
func (d *traced) trace(args ...string) (*trace.Trace, string) {
	d.t.Helper()
	out, code := d.run("n1", append([]string{"trace", "--sockets", d.dir, "-o", "json"}, args...)...)
	var r trace.Trace
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		d.t.Fatalf("trace %s: exit status %d, %v\n%s", args, code, err, out)
	}
	if want := map[bool]int{true: 0, false: 1}[r.OK()]; code != want {
		d.t.Errorf("trace %s: %s, and exit status %d", args, r.Outcome, code)
	}
	var text bytes.Buffer
	if err := r.Write(&text, nil); err != nil {
		d.t.Fatal(err)
	}
	return &r, text.String()
}

// sh runs a script of the shell in a namespace.
func (d *traced) sh(where, script string) {
	d.t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("sh", "-ec", script)
	cmd.Env = append(os.Environ(), "DIR="+d.dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := ns.Do(where, cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		d.t.Fatalf("in %s: %s: %v\n%s", where, script, err, out.String())
	}
}

// ping says whether an echo request is answered within a time.
func (d *traced) ping(from string, to string, wait time.Duration) error {
	a, err := netip.ParseAddr(to)
	if err != nil {
		return err
	}
	return ns.Do(from, func() error {
		p, err := probe.NewPinger()
		if err != nil {
			return err
		}
		defer p.Close()
		ctx, cancel := context.WithTimeout(d.t.Context(), wait)
		defer cancel()
		_, err = p.Ping(ctx, a)
		return err
	})
}

// at is the address of a pod, or what is given.
func (d *traced) at(name string, six bool) string {
	if list := d.ends[name]; list != nil {
		return list[map[bool]int{true: 1}[six]].String()
	}
	return name
}
