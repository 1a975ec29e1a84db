package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// node is the namespace that the test is in, as a node of a cluster: an uplink with
// addresses, a state file, a state directory. No agent runs on it.
type node struct {
	t                  testing.TB
	file, stateDir     string
	cache              string // libcni's
	address4, address6 string // of the uplink
	doing              string // what the test is about just now, for messages
}

// layout is what a test wants otherwise than others do.
type layout struct {
	podCIDRs     string // of the node, as in the file
	more         string // of the state file
	uplinkMTU    int
	defaultRoute bool
}

// newNode turns the test's namespace into a node. Mounts become private, so that
// named namespaces are the test's own too.
func newNode(t testing.TB, l layout) *node {
	t.Helper()
	if l.podCIDRs == "" {
		l.podCIDRs = `10.244.1.0/24, "fd00:10:244:1::/64"`
	}
	if l.uplinkMTU == 0 {
		l.uplinkMTU = 1500
	}
	dir := t.TempDir()
	n := &node{
		t: t, file: filepath.Join(dir, "plumb.yaml"), stateDir: filepath.Join(dir, "state"), cache: filepath.Join(dir, "cache"),
		address4: "172.18.0.3", address6: "fc00:f853:ccd:e793::3",
	}
	// The uplink's other end is in the same namespace: all that counts is its carrier.
	n.sh(`
		mount --make-rprivate /
		mount -t tmpfs tmpfs /run
		ip link add uplink0 mtu %d type veth peer name wire0
		ip link set wire0 up
		ip link set uplink0 up
		ip address add %s/16 dev uplink0
		ip address add %s/64 dev uplink0 nodad
		until ip -6 route show table local | grep -q %[3]s; do sleep 0.01; done`,
		l.uplinkMTU, n.address4, n.address6)
	if l.defaultRoute {
		n.sh("ip route add default via 172.18.0.1; ip -6 route add default via fc00:f853:ccd:e793::1")
	}
	n.write(fmt.Sprintf(`apiVersion: plumb/v1
pools:
  - {cidr: 10.244.0.0/16}
  - {cidr: "fd00:10:244::/56"}
nodes:
  - {name: worker1, addresses: [172.18.0.3/16, "fc00:f853:ccd:e793::3/64"], podCIDRs: [%s]}
  - {name: worker2, addresses: [172.18.0.4/16], podCIDRs: [10.244.2.0/24, "fd00:10:244:2::/64"]}
%s`, l.podCIDRs, l.more))
	return n
}

// write puts a state file in place.
func (n *node) write(text string) {
	n.t.Helper()
	if err := os.WriteFile(n.file, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// sh runs a command of the shell on the node.
func (n *node) sh(format string, args ...any) string {
	n.t.Helper()
	return nstest.Sh(n.t, fmt.Sprintf(format, args...))
}

// pod is a container without processes: an ID and a named network namespace.
type pod struct {
	n         *node
	id, netns string
	ifName    string
}

func (n *node) pod(id string) pod {
	n.t.Helper()
	n.sh("ip netns add %s", id)
	return pod{n: n, id: id, netns: "/run/netns/" + id, ifName: "eth0"}
}

// pods makes many, fast.
func (n *node) pods(count int) []pod {
	n.t.Helper()
	var list []pod
	batch := ""
	for i := range count {
		id := fmt.Sprintf("pod%d", i)
		batch += "netns add " + id + "\n"
		list = append(list, pod{n: n, id: id, netns: "/run/netns/" + id, ifName: "eth0"})
	}
	n.sh("ip -batch - <<-end\n%send", batch)
	return list
}

// sh runs a command of the shell in the pod's namespace.
func (p pod) sh(format string, args ...any) string {
	p.n.t.Helper()
	return nstest.Sh(p.n.t, p.inside(format, args...))
}

// inside is a command for sh that runs in the pod's namespace.
func (p pod) inside(format string, args ...any) string {
	return fmt.Sprintf("nsenter --net=%s sh -ec '%s'", p.netns, fmt.Sprintf(format, args...))
}

// ends removes the pod's namespace, as a runtime does in the end.
func (p pod) ends() {
	p.n.t.Helper()
	p.n.sh("ip netns delete %s", p.id)
}

// ping sends one packet from the pod and wants it answered: first try.
func (p pod) ping(to string) {
	p.n.t.Helper()
	p.sh("ping -n -c 1 -W 10 %s", to)
}

// ping does so from the node.
func (n *node) ping(to string) {
	n.t.Helper()
	n.sh("ping -n -c 1 -W 10 %s", to)
}
