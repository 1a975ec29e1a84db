package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/lab/probe"
)

// fabric is three nodes, each with an agent of its own and one pod: n1 and n2 in one
// subnet, n3 behind a router that knows no pods. The test's own namespace is the
// router, and has the wires.
//
//	p1   p2                 p3        10.244.N.5 fd00:10:244:N::5
//	n1   n2                 n3
//	 `-+-'  172.18.1.0/24   |  fc00:1::/64
//	 rack1 -- router -- rack2  172.18.2.0/24 fc00:2::/64
type fabric struct {
	t     *testing.T
	dir   string
	plumb string // this program, under the name that makes it plumb
}

var fabricNodes = []string{"n1", "n2", "n3"}

// subnetOf is the third number of a node's address on the fabric, 172.18.1.11 for n1.
func subnetOf(node string) string {
	if node == "n3" {
		return "2"
	}
	return "1"
}

func number(name string) string { return name[1:] }

func pod4(n string) string { return "10.244." + number(n) + ".5" }
func pod6(n string) string { return "fd00:10:244:" + number(n) + "::5" }

const router = `
	mount --make-rprivate /
	mount -t tmpfs tmpfs /run
	mkdir /run/netns
	for s in rack1 rack2; do ip link add $s type bridge; ip link set $s up; done
	echo 0 >/proc/sys/net/ipv6/conf/rack1/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/rack2/accept_dad
	ip addr add 172.18.1.1/24 dev rack1; ip addr add fc00:1::1/64 dev rack1 nodad
	ip addr add 172.18.2.1/24 dev rack2; ip addr add fc00:2::1/64 dev rack2 nodad
	echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
`

// newFabric wires everything; agents come with start.
func newFabric(t *testing.T) *fabric {
	t.Helper()
	nstest.Sh(t, router)
	f := &fabric{t: t, dir: t.TempDir()}
	f.plumb = filepath.Join(f.dir, "plumb")
	self, err := os.Executable()
	if err := errors.Join(err, os.Symlink(self, f.plumb)); err != nil {
		t.Fatal(err)
	}
	for _, n := range fabricNodes {
		pod := "p" + number(n)
		if err := errors.Join(ns.Add(n), ns.Add(pod)); err != nil {
			t.Fatal(err)
		}
		s := subnetOf(n)
		nstest.Sh(t, fmt.Sprintf("ip link add wire-%[1]s type veth peer name eth0 netns %[1]s; ip link set wire-%[1]s master rack%[2]s up", n, s))
		f.sh(n, fmt.Sprintf(`
			ip link set lo up
			echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
			ip addr add 172.18.%[1]s.1%[2]s/24 dev eth0; ip addr add fc00:%[1]s::1%[2]s/64 dev eth0 nodad
			ip link set eth0 up
			ip route add default via 172.18.%[1]s.1; ip -6 route add default via fc00:%[1]s::1
			ip link add plb000000000a%[2]s address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns %[3]s
			ip link set plb000000000a%[2]s up`, s, number(n), pod))
		f.sh(pod, fmt.Sprintf(`
			ip link set lo up
			echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
			ip addr add %s/32 dev eth0; ip addr add %s/128 dev eth0 nodad
			ip link set eth0 up mtu 1430
			ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1
			ip -6 route add default via fe80::ecee:eeff:feee:eeee dev eth0`, pod4(n), pod6(n)))
	}
	return f
}

// state is a state file of the fabric, with what the pools have besides.
func fabricState(pool4, pool6 string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: plumb/v1\npools:\n  - {cidr: 10.244.0.0/16, natOutgoing: true%s}\n  - {cidr: 'fd00:10:244::/56'%s}\nnodes:\n", pool4, pool6)
	for _, n := range fabricNodes {
		fmt.Fprintf(&b, "  - {name: %[1]s, addresses: [172.18.%[2]s.1%[3]s/24, 'fc00:%[2]s::1%[3]s/64'], podCIDRs: [10.244.%[3]s.0/24, 'fd00:10:244:%[3]s::/64']}\n",
			n, subnetOf(n), number(n))
	}
	b.WriteString("endpoints:\n")
	for _, n := range fabricNodes {
		fmt.Fprintf(&b, "  - {name: p%[1]s, node: n%[1]s, interface: plb000000000a%[1]s, addresses: [%[2]s, '%[3]s']}\n", number(n), pod4(n), pod6(n))
	}
	return b.String()
}

// save puts a node's state file in place as an editor does.
func (f *fabric) save(node, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, node+".yaml")
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o644), os.Rename(path+".new", path)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fabric) flags(node string) []string {
	at := filepath.Join(f.dir, node)
	return []string{"-f", at + ".yaml", "--node", node, "--state-dir", at + ".state", "--socket", at + ".sock"}
}

// start starts the agents, until the test ends.
func (f *fabric) start() {
	f.t.Helper()
	for _, n := range fabricNodes {
		var log bytes.Buffer
		cmd := exec.Command(f.plumb, append([]string{"agent", "--http", ""}, f.flags(n)...)...)
		cmd.Stdout, cmd.Stderr = &log, &log
		if err := ns.Do(n, cmd.Start); err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
			if f.t.Failed() {
				f.t.Logf("%s:\n%s", n, log.String())
			}
		})
	}
	f.converged()
}

// converged waits until every agent is, on the file as it is now.
func (f *fabric) converged() {
	f.t.Helper()
	for _, n := range fabricNodes {
		f.eventually(n+" converges", func() error {
			out, err := exec.Command(f.plumb, append([]string{"status"}, f.flags(n)...)...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			return nil
		})
	}
}

func (f *fabric) eventually(what string, try func() error) {
	f.t.Helper()
	var err error
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	f.t.Fatalf("%s: %v", what, err)
}

// sh runs a script of the shell in a namespace.
func (f *fabric) sh(where, script string) string {
	f.t.Helper()
	out, err := f.try(where, script)
	if err != nil {
		f.t.Fatalf("in %s: %s: %v\n%s", where, script, err, out)
	}
	return out
}

func (f *fabric) try(where, script string) (string, error) {
	var out bytes.Buffer
	cmd := exec.Command("sh", "-ec", script)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := ns.Do(where, cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}

// ping sends one echo request from a namespace; waits for its answer as long as given.
func (f *fabric) ping(from string, wait time.Duration, to ...string) error {
	var errs []error
	err := ns.Do(from, func() error {
		p, err := probe.NewPinger()
		if err != nil {
			return err
		}
		defer p.Close()
		for _, a := range to {
			ctx, cancel := context.WithTimeout(f.t.Context(), wait)
			if _, err := p.Ping(ctx, netip.MustParseAddr(a)); err != nil {
				errs = append(errs, fmt.Errorf("%s to %s: %w", from, a, err))
			}
			cancel()
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// send sends one datagram from the calling thread's namespace.
func send(network, to string, what []byte) error {
	c, err := net.Dial(network, to)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write(what)
	return err
}
