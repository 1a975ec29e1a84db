package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// plumb runs the command line on this node, and gives its output and exit status.
func (n *node) plumb(verb string, more ...string) (string, int) {
	n.t.Helper()
	cmd := exec.Command(program("plumb"), append([]string{
		verb, "--file", n.file, "--node", "worker1", "--state-dir", n.stateDir, "--socket", filepath.Join(n.cache, "socket"),
	}, more...)...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		n.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// agent runs until the test ends.
func (n *node) agent() {
	n.t.Helper()
	n.sh("mkdir -p %s", n.cache)
	cmd := exec.Command(program("plumb"), "agent", "--file", n.file, "--node", "worker1", "--state-dir", n.stateDir,
		"--socket", filepath.Join(n.cache, "socket"), "--http", "")
	log, err := os.Create(filepath.Join(n.cache, "agent.log"))
	if err != nil {
		n.t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		log.Close()
		if n.t.Failed() {
			b, _ := os.ReadFile(log.Name())
			n.t.Logf("the agent's log:\n%s", b)
		}
	})
	n.converged()
}

func (n *node) converged() {
	n.t.Helper()
	var out string
	for range 600 {
		var status int
		if out, status = n.plumb("status"); status == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	n.t.Fatalf("the agent does not converge:\n%s", out)
}

// The plugin makes the pod's objects in the form that the agent wants: there is no
// difference after ADD, and none after DEL.
func TestNoDifferenceAfterADD(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		n.sh("mkdir -p %s", n.cache)
		if out, status := n.plumb("apply"); status != 0 {
			t.Fatal(out)
		}
		pods := n.pods(3)
		for _, p := range pods {
			p.add()
			if out, status := n.plumb("diff"); status != 0 {
				t.Errorf("after ADD: %d\n%s", status, out)
			}
		}
		pods[0].del()
		n.gc([]pod{pods[1]}).ok(n, "GC")
		if out, status := n.plumb("diff"); status != 0 {
			t.Errorf("after DEL and GC: %d\n%s", status, out)
		}
	})
}

// No flap: with an agent at work, a pod's routes are added once at ADD, and removed
// once at DEL.
func TestRoutesComeAndGoOnce(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		n.agent()
		events := filepath.Join(t.TempDir(), "events")
		f, err := os.Create(events)
		if err != nil {
			t.Fatal(err)
		}
		monitor := exec.Command("ip", "monitor", "route")
		monitor.Stdout = f
		if err := monitor.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = monitor.Process.Kill(); _ = monitor.Wait(); f.Close() })
		// Until the monitor listens: a route of nobody's, again and again.
		marks := 0
		mark := func() {
			marks++
			dst := "192.0.2." + string(rune('0'+marks)) + " "
			n.sh(`i=0; until grep -q '%s' %s || [ $i -gt 500 ]; do
				ip route replace blackhole %s proto static; ip route delete blackhole %[3]s proto static; sleep 0.02; i=$((i+1)); done
				grep -q '%[1]s' %[2]s`, dst, events, dst)
		}
		mark()
		pods := n.pods(5)
		var all []string
		for _, p := range pods {
			all = append(all, addresses(p.add())...)
		}
		n.converged()
		mark()
		added := n.sh("cat %s", events)
		for _, p := range pods {
			p.ping(n.address4)
			p.del()
		}
		n.converged()
		mark()
		text := n.sh("cat %s", events)
		for _, a := range all {
			lines := func(text string) (came, went int) {
				for line := range strings.Lines(text) {
					if !strings.Contains(line, a+" dev plb") {
						continue
					}
					if strings.HasPrefix(line, "Deleted ") {
						went++
					} else {
						came++
					}
				}
				return came, went
			}
			if came, went := lines(added); came != 1 || went != 0 {
				t.Errorf("at ADD %s came %d times and went %d times", a, came, went)
			}
			// The kernel says nothing of IPv4 routes that go with their device.
			if came, went := lines(text); came != 1 || went > 1 || strings.Contains(a, ":") && went == 0 {
				t.Errorf("by the end %s came %d times and went %d times", a, came, went)
			}
		}
		if t.Failed() {
			t.Log(text)
		}
		n.sh("! ip route show table all | grep plb")
	})
}

// What the plugin needs of the node is there while no agent runs, and is the agent's
// own when it comes.
func TestAgentComesLater(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p, q := n.pod("one"), n.pod("two")
		p.add()
		before := n.sh("ip route show proto 112; ip -6 route show proto 112")
		n.agent()
		after := n.sh("ip route show proto 112; ip -6 route show proto 112")
		for line := range strings.Lines(before) {
			if !strings.Contains(after, strings.TrimSpace(line)) {
				t.Errorf("the agent removed %s", line)
			}
		}
		q.add()
		p.ping(n.addressOf(q, "-4"))
		p.ping(n.addressOf(q, "-6"))
		out, status := n.plumb("status")
		if status != 0 || !strings.Contains(out, "2") {
			t.Errorf("status %d:\n%s", status, out)
		}
	})
}
