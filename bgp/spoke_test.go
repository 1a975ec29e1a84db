package bgp_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/state"
)

// A speaker that is killed has left its sessions to their peers, and is known to have;
// not one that never had any, nor one that has ended them, nor in another namespace.
func TestSpoke(t *testing.T) {
	alone(t, func(t *testing.T) {
		h, dir := wire(t), t.TempDir()
		objects := []state.Object{speaker(64512), peer4(64513), state.BGPPrefix{Prefix: prefix("10.244.1.0/24")}}
		p := startProcess(t, dir, false, objects...)
		time.Sleep(2 * time.Second) // nothing may happen in it
		p.kill()
		if bgp.Spoke(dir) {
			t.Error("it spoke, though nobody was there")
		}
		r := bgptest.BIRD(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Restart: 60, Peers: []bgptest.Peer{far(64512)}})
		p = startProcess(t, dir, false, objects...)
		has(t, r, "10.244.1.0/24", true)
		bgptest.Eventually(t, "it spoke", func() bool { return bgp.Spoke(dir) })
		p.kill()
		if !bgp.Spoke(dir) {
			t.Error("it did not speak, though there was a session")
		}
		inNew(t, func() {
			if bgp.Spoke(dir) {
				t.Error("it spoke in a network namespace that is new")
			}
		})
		stop := keeps(t, r, "10.244.1.0/24")
		n := open(t, bgp.Options{StateDir: dir, Restarting: bgp.Spoke(dir)})
		n.want(objects...)
		bgptest.Eventually(t, "settled", n.isSettled)
		stop()
		n.established(far4)
		if err := n.Drain(t.Context(), "maintenance", time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if bgp.Spoke(dir) {
			t.Error("it spoke, though all sessions were ended")
		}
	})
}

// inNew calls f in a new network namespace. The thread is put back, for with it would end
// what was started on it (PR_SET_PDEATHSIG is about threads): a router, say.
func inNew(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	f()
	if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}
