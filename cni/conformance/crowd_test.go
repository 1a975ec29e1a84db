package conformance

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// 200 at once, as when a node comes back: every one has its own addresses and
// answers, and every one goes.
func TestTwoHundredAtOnce(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		const many = 200
		n := newNode(t, layout{})
		pods := n.pods(many)
		all := func(verb string) []reply {
			replies := make([]reply, many)
			var wg sync.WaitGroup
			for i, p := range pods {
				wg.Go(func() { replies[i] = p.call(verb) })
			}
			wg.Wait()
			return replies
		}
		for i, r := range all("ADD") {
			if r.status != 0 {
				t.Fatalf("ADD %d: %s", i, r)
			}
		}
		holds := n.holds()
		for kind, want := range map[string]int{"link": many, "record": many, "address": 2 * many, "route": 2 * many, "attachment": many} {
			if got := len(only(kind, holds)); got != want {
				t.Errorf("%d of kind %s, want %d", got, kind, want)
			}
		}
		// One after the other, from the node: the kernel's own limits on ICMP are not
		// what is tested.
		var pings strings.Builder
		for _, a := range only("address", holds) {
			pings.WriteString("ping -n -q -c 1 -W 10 " + a + " >/dev/null\n")
		}
		n.sh("%s", pings.String())
		for i, r := range all("DEL") {
			if r.status != 0 {
				t.Errorf("DEL %d: %s", i, r)
			}
		}
		n.clean("200 DELs")
	})
}

// ADDs, DELs, CHECKs and GCs that know of all live pods, mixed, disturb nobody.
func TestAllVerbsAtOnce(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{podCIDRs: "10.244.1.0/26"})
		pods := n.pods(16)
		var wg sync.WaitGroup
		for _, p := range pods {
			wg.Go(func() {
				for range 5 {
					r, err := p.tryAdd()
					if err != nil {
						t.Errorf("%s: %v", p.id, err)
						return
					}
					if err := p.check(); err != nil {
						t.Errorf("%s: %v", p.id, err)
					}
					if got := n.gc(pods); got.status != 0 {
						t.Errorf("GC: %s", got)
					}
					if got := p.call("CHECK", conf{"prevResult": r}); got.status != 0 {
						t.Errorf("%s after a GC in which it was valid: %s", p.id, got)
					}
					if got := p.call("DEL"); got.status != 0 {
						t.Errorf("DEL: %s", got)
					}
				}
			})
		}
		wg.Wait()
		n.clean("all verbs at once")
	})
}

// A lock is its holder's process's, and ends with it: a kill -9 of the holder keeps
// nobody out. One that is held for long gives "try again later".
func TestLock(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		one := n.pod("one")
		one.add()
		lock := filepath.Join(n.stateDir, "addresses", "lock")
		holder := exec.Command("flock", lock, "sh", "-c", "echo held; exec sleep 1000")
		holder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		out, err := holder.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(-holder.Process.Pid, syscall.SIGKILL)
		_ = holder.Wait()
		two := n.pod("two")
		two.add()
		two.del()
		one.del()
		n.clean("DEL after the lock's holder died")
	})
}

// The clock is set back: every file is of the future. Nothing is decided by time.
func TestClockSetBack(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		pods := n.pods(3)
		pods[0].add()
		pods[1].add()
		n.sh("find %s %s | xargs touch -d 2037-01-01", n.stateDir, n.file)
		if err := pods[0].check(); err != nil {
			t.Error(err)
		}
		pods[2].add()
		pods[2].ping(n.address4)
		pods[0].del()
		n.gc([]pod{pods[2]}).ok(n, "GC")
		if err := pods[2].check(); err != nil {
			t.Error(err)
		}
		pods[2].del()
		n.clean("DEL")
	})
}
