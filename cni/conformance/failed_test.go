package conformance

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	wiring "github.com/plumbnet/plumb/kernel/pod"
)

// An ADD that cannot be says why in the CNI error that fits, and undoes what it did.
func TestFailedADD(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		good, err := os.ReadFile(n.file)
		if err != nil {
			t.Fatal(err)
		}
		host := wiring.HostEndName("one", "eth0")
		p := n.pod("one")
		for _, c := range []struct {
			what          string
			first, mend   string // on the node
			conf          conf
			env           []string
			codes         []uint
			words         []string
			thereAtTheEnd string // a link that was not the plugin's, and stays
		}{
			{
				what: "interface taken in the pod", first: "ip -n one link add eth0 type veth peer name x0", mend: "ip -n one link delete eth0",
				codes: []uint{4, 999}, words: []string{"eth0"}, thereAtTheEnd: "eth0",
			},
			{
				what: "host end's name taken", first: "ip link add " + host + " type bridge", mend: "ip link delete " + host,
				codes: []uint{4, 999}, words: []string{host}, thereAtTheEnd: host,
			},
			{what: "no such namespace", env: []string{"CNI_NETNS=/run/netns/none"}, codes: []uint{3, 4, 8}, words: []string{"/run/netns/none"}},
			{what: "a file is no namespace", env: []string{"CNI_NETNS=" + n.file}, codes: []uint{4, 8}, words: []string{n.file}},
			{what: "a device is no namespace", env: []string{"CNI_NETNS=/dev/null"}, codes: []uint{4, 8}, words: []string{"/dev/null"}},
			{what: "another kind of namespace", env: []string{"CNI_NETNS=/proc/self/ns/mnt"}, codes: []uint{4, 8}, words: []string{"/proc/self/ns/mnt"}},
			{what: "a folder", env: []string{"CNI_NETNS=/run"}, codes: []uint{4, 8}, words: []string{"/run"}},
			{what: "the node's own namespace", env: []string{"CNI_NETNS=/proc/self/ns/net"}, codes: []uint{4, 8}},
			{what: "invalid state file", first: "echo 'color: red' >> FILE", codes: []uint{7}, words: []string{"FILE:", "color"}},
			{what: "missing state file", first: "rm FILE", codes: []uint{7}, words: []string{"FILE"}},
			{what: "node not in the file", conf: conf{"node": "worker9"}, codes: []uint{7}, words: []string{"worker9"}},
			{what: "state directory is a file", conf: conf{"stateDir": n.file}, codes: []uint{5, 7}, words: []string{n.file}},
			{what: "MTU below all", conf: conf{"mtu": 10}, codes: []uint{7}, words: []string{"mtu"}},
			{what: "MTU above all", conf: conf{"mtu": 100000}, codes: []uint{7}, words: []string{"mtu"}},
			{what: "negative MTU", conf: conf{"mtu": -1}, codes: []uint{7}, words: []string{"mtu"}},
			// IPv6 needs 1280 (RFC 8200, section 5); below, the kernel takes it off the link.
			{what: "MTU below IPv6's", conf: conf{"mtu": 1200}, codes: []uint{7}, words: []string{"mtu", "1280"}},
			{what: "no route can be added", first: "ip -n one link add b0 type bridge; ip -n one link set b0 up; ip -n one route add default dev b0", mend: "ip -n one link delete b0", codes: []uint{4, 999}, words: []string{"default route"}},
		} {
			fill := strings.NewReplacer("FILE", n.file)
			n.sh("%s", fill.Replace(c.first)+"\n:")
			before := n.holds()
			e := n.raw(n.stdin(c.conf), p.env("ADD", c.env...)...).failure(n)
			if !contains(c.codes, e.Code) {
				t.Errorf("%s: code %d, want one of %v: %s; %s", c.what, e.Code, c.codes, e.Msg, e.Details)
			}
			for _, w := range c.words {
				if !strings.Contains(e.Msg+" "+e.Details, fill.Replace(w)) {
					t.Errorf("%s: %q; %q lacks %q", c.what, e.Msg, e.Details, fill.Replace(w))
				}
			}
			n.same(before, c.what)
			links := n.sh("ip -br link") + p.sh("ip -br link")
			if c.thereAtTheEnd != "" && !strings.Contains(links, c.thereAtTheEnd) {
				t.Errorf("%s: it is gone:\n%s", c.what, links)
			}
			n.sh("%s", c.mend+"\n:")
			if got := p.sh("ip -br link show type veth; ip route; ip -6 route show default; ip neighbour"); got != "" {
				t.Errorf("%s: in the pod %s", c.what, got)
			}
			n.write(string(good))
		}
		p.add() // after all that
		p.ping(n.address6)
	})
}

func contains(list []uint, x uint) bool {
	for _, c := range list {
		if c == x {
			return true
		}
	}
	return false
}

// A pod's namespace can vanish at any moment.
func TestNamespaceVanishesHalfWay(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		delays := n.spread(func() {
			p := n.pod("probe")
			p.call("ADD").ok(n, "ADD")
			p.call("DEL").ok(n, "DEL")
			p.ends()
		})
		failed := 0
		for i := range kills / 2 {
			p := n.pod(fmt.Sprintf("pod%d", i))
			gone := time.AfterFunc(delays[rand.N(len(delays))], func() { _ = os.Remove(p.netns); n.sh("umount -l %s 2>/dev/null || true; rm -f %[1]s", p.netns) })
			r := p.call("ADD")
			if !gone.Stop() {
				time.Sleep(5 * time.Millisecond)
			}
			if r.status != 0 {
				failed++
				r.failure(n)
				// The kernel removes a dying namespace's links in the background.
				n.gone(only("link", n.holds()))
				n.clean("an ADD whose namespace vanished")
			}
			p.call("DEL").ok(n, "DEL")
			n.sh("umount -l %s 2>/dev/null || true; rm -f %[1]s", p.netns)
			n.gone(only("link", n.holds()))
			n.clean("DEL")
		}
		t.Logf("%d of %d failed", failed, kills/2)
	})
}

// gone waits until links that die with their namespace are no more.
func (n *node) gone(links []string) {
	n.t.Helper()
	for _, l := range links {
		n.sh("i=0; while ip link show %s >/dev/null 2>&1 && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done", l)
	}
}

// The disk is full, at each point of an ADD where that can be met: ever more inodes,
// and ever more blocks, are left on a small file system.
func TestFullDisk(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		mount := filepath.Join(t.TempDir(), "small")
		n.sh("mkdir %s", mount)
		dir := conf{"stateDir": filepath.Join(mount, "state")}
		n.stateDir = dir["stateDir"].(string)
		var options []string
		for i := 1; i <= 14; i++ {
			options = append(options, fmt.Sprintf("nr_inodes=%d", i))
		}
		for i := 1; i <= 8; i++ {
			options = append(options, fmt.Sprintf("size=%dk", 4*i))
		}
		p := n.pod("one")
		failed, succeeded := 0, 0
		for _, o := range options {
			n.sh("mount -t tmpfs -o %s tmpfs %s", o, mount)
			r := p.call("ADD")
			if r.status == 0 {
				succeeded++
				// Full to the brim, DEL works.
				n.sh("dd if=/dev/zero of=%s/filler bs=4k count=1000 2>/dev/null || true", mount)
				p.ping(n.address4)
			} else {
				failed++
				if e := r.failure(n); e.Code != 5 || !strings.Contains(e.Msg+e.Details, "no space left") {
					t.Errorf("%s: %+v", o, e)
				}
				n.clean("ADD with " + o)
			}
			p.call("DEL").ok(n, "DEL with "+o)
			n.clean("DEL with " + o)
			n.sh("umount %s", mount)
		}
		if failed < 5 || succeeded < 2 {
			t.Errorf("%d failed, %d succeeded: this test does not meet the edge", failed, succeeded)
		}
	})
}

func TestReadOnlyStateDirectory(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p, live := n.pod("one"), n.pod("live")
		n.sh("mkdir %s; mount -t tmpfs tmpfs %[1]s", n.stateDir)
		for _, when := range []string{"empty", "used"} {
			before := n.holds()
			n.sh("mount -o remount,ro %s", n.stateDir)
			if e := p.call("ADD").failure(n); e.Code != 5 || !strings.Contains(e.Msg+e.Details, "read-only") {
				t.Errorf("%s: %+v", when, e)
			}
			n.same(before, "ADD in a read-only directory")
			p.call("DEL").ok(n, "DEL of what never was, in a read-only directory that is "+when)
			n.sh("mount -o remount,rw %s", n.stateDir)
			if when == "empty" {
				live.add()
			}
		}
		// What cannot be removed is said, and done when it can be.
		n.sh("mount -o remount,ro %s", n.stateDir)
		if e := live.call("DEL").failure(n); e.Code != 5 {
			t.Errorf("DEL: %+v", e)
		}
		n.sh("mount -o remount,rw %s", n.stateDir)
		live.call("DEL").ok(n, "DEL")
		n.clean("DEL")
		n.sh("umount %s", n.stateDir)
	})
}
