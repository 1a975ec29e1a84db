package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// gc calls GC by hand: libcni would first call DEL for what its cache knows.
func (n *node) gc(valid []pod, changes ...conf) reply {
	n.t.Helper()
	list := []map[string]string{}
	for _, p := range valid {
		list = append(list, map[string]string{"containerID": p.id, "ifname": p.ifName})
	}
	return n.raw(n.stdin(append(changes, conf{"cni.dev/valid-attachments": list, "cni.dev/attachments": list})...), "CNI_COMMAND=GC")
}

func TestGCRemovesTheDead(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		pods := n.pods(4)
		pods[0].add()
		pods[2].add()
		alive := n.holds()
		pods[1].add()
		pods[3].add()
		pods[3].ends() // its namespace, and with it the veth
		for _, when := range []string{"GC", "a second GC"} {
			n.gc([]pod{pods[0], pods[2]}).ok(n, when)
			n.same(alive, when)
		}
		for _, p := range []pod{pods[0], pods[2]} {
			if err := p.check(); err != nil {
				t.Errorf("a live pod after GC: %v", err)
			}
		}
		if got := pods[1].sh("ip -br link show type veth"); got != "" {
			t.Errorf("in the dead pod: %s", got)
		}
		pods[1].add() // a dead one comes to life
		n.gc(nil).ok(n, "GC of all")
		n.clean("GC of all")
	})
}

func TestGCByLibcni(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		pods := n.pods(3)
		pods[0].add()
		alive := n.holds()
		pods[1].add()
		pods[2].add()
		n.sh("rm -r %s/results/*pod2*", n.cache) // libcni has forgotten this one
		err := n.runtime().GCNetworkList(t.Context(), n.network("1.1.0", n.conf()), &libcni.GCArgs{
			ValidAttachments: []types.GCAttachment{{ContainerID: "pod0", IfName: "eth0"}},
		})
		if err != nil {
			t.Error(err)
		}
		n.same(alive, "GC")
	})
}

// What is not this network's, or not the plugin's, is none of GC's business.
func TestGCLeavesOthersAlone(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{more: `
endpoints:
  - {name: db-vm, node: worker1, interface: plbhandmade, addresses: [10.244.1.200]}
  - {name: vm-2, node: worker1, interface: tap0, addresses: [10.244.1.201]}
`})
		n.sh(`
			ip link add plbhandmade type veth peer name h0
			ip link add tap0 type veth peer name h1
			ip link set plbhandmade up
			ip link set tap0 up
			ip route add 10.244.1.200 dev plbhandmade scope link proto 112
			ip route add 10.244.1.201 dev tap0 scope link proto 112
			ip route add 10.244.1.202 dev tap0 scope link proto static
			ip route add blackhole 10.244.1.0/24 proto 112`)
		other := n.pod("other")
		other.add(conf{"name": "net2"})
		before := n.holds()
		routes := n.sh("ip route")
		mine := n.pod("mine")
		mine.add()
		n.gc(nil).ok(n, "GC")
		n.same(before, "GC")
		if got := n.sh("ip route"); got != routes {
			t.Errorf("routes:\n%s\nbefore:\n%s", got, routes)
		}
		if err := other.check(conf{"name": "net2"}); err != nil {
			t.Error(err)
		}
		other.sh("ping -n -c 1 -W 10 %s", n.address4)
		// The other network's own GC removes it.
		n.gc(nil, conf{"name": "net2"}).ok(n, "GC of net2")
		if left := strings.Join(n.holds(), "\n"); strings.Contains(left, "other") || !strings.Contains(left, "plbhandmade") {
			t.Errorf("after GC of net2:\n%s", left)
		}
	})
}

// What a crash may leave: each alone, without the others by which it could be found.
func TestGCFindsPieces(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		live := n.pod("live")
		live.add()
		before := n.holds()
		for i, c := range []struct{ what, lost string }{
			{"a link alone", "rm STATE/endpoints/dead* STATE/attachments/dead*; grep -l dead STATE/addresses/* | xargs rm"},
			{"a record alone", "ip link delete HOST; rm STATE/attachments/dead*; grep -l dead STATE/addresses/* | xargs rm"},
			{"addresses alone", "ip link delete HOST; rm STATE/endpoints/dead* STATE/attachments/dead*"},
			{"an attachment alone", "ip link delete HOST; rm STATE/endpoints/dead*; grep -l dead STATE/addresses/* | xargs rm"},
		} {
			p := n.pod(fmt.Sprintf("dead%d", i))
			r := p.add()
			all := n.holds()
			n.sh("%s", strings.NewReplacer("STATE", n.stateDir, "HOST", r.Interfaces[0].Name).Replace(c.lost))
			if now := n.holds(); slices.Equal(now, before) || len(now) >= len(all) {
				t.Fatalf("%s: this test breaks nothing, or all:\n%s", c.what, strings.Join(now, "\n"))
			}
			n.gc([]pod{live}).ok(n, "GC of "+c.what)
			n.same(before, "GC of "+c.what)
			p.ends()
		}
	})
}

// DEL and GC do not need a state file: what is wrong with it must not keep what is
// dead on the node.
func TestRemovalWithoutAStateFile(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		for _, broken := range []string{"rm %s", "echo nonsense: > %s"} {
			pods := n.pods(2)
			pods[0].add()
			pods[1].add()
			good, err := os.ReadFile(n.file)
			if err != nil {
				t.Fatal(err)
			}
			n.sh(broken, n.file)
			pods[0].del()
			if left := strings.Join(n.holds(), "\n"); strings.Contains(left, "pod0") {
				t.Errorf("%s, then DEL leaves\n%s", broken, left)
			}
			n.gc(nil)
			if left := strings.Join(n.holds(), "\n"); strings.Contains(left, "pod1") {
				t.Errorf("%s, then GC leaves\n%s", broken, left)
			}
			n.write(string(good))
			n.gc(nil).ok(n, "GC")
			n.clean("GC")
			for _, p := range pods {
				p.ends()
			}
		}
	})
}
