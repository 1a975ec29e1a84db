package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/lab"
)

// A lab's life, as its user sees it.
func TestLab(t *testing.T) {
	asUsers(t, func(t *testing.T, c *cluster) {
		if _, stderr, code := c.run("status"); code != 2 || !strings.Contains(stderr, "plumb lab up") {
			t.Errorf("status without a lab: exit status %d, %s", code, stderr)
		}
		t.Log(c.ok("up"))
		if _, stderr, code := c.run("up"); code != 2 || !strings.Contains(stderr, "plumb lab down --name e2e") {
			t.Errorf("up a second time: exit status %d, %s", code, stderr)
		}
		t.Run("status", func(t *testing.T) { checkStatus(t, c) })
		t.Run("exec", func(t *testing.T) { checkExec(t, c) })
		t.Run("network", func(t *testing.T) { checkNetwork(t, c) })
		t.Run("agent", func(t *testing.T) { checkAgent(t, c) })
		if out := c.ok("down"); !strings.Contains(out, "is down") {
			t.Errorf("down: %s", out)
		}
		c.leavesNothing()
		if out := c.ok("down"); !strings.Contains(out, "no lab is running") {
			t.Errorf("down a second time: %s", out)
		}
	})
}

func checkStatus(t *testing.T, c *cluster) {
	var s lab.Status
	if err := json.Unmarshal([]byte(c.ok("status", "-o", "json")), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Nodes) != 4 || len(s.Pods) != 6 || len(s.Hosts) != 1 || !s.Converged() {
		t.Errorf("status: %+v", s)
	}
	if text := c.ok("status"); !strings.Contains(text, "10.244.2.11 fd00:10:244:2::b") || !strings.Contains(text, "converged") {
		t.Errorf("status:\n%s", text)
	}
}

func checkExec(t *testing.T, c *cluster) {
	for _, x := range []struct {
		where, command string
		code           int
		want           string
	}{
		{"node1", "hostname", 0, "node1"},
		{"a1", "hostname; exit 7", 7, "a1"},
		{"a1", "cat", 0, "from standard input"},
		{"a1", "no-such-command", 127, ""},
		{"a1", "kill -9 $$", 137, ""},
		{"a1", "ip route", 0, "default via 169.254.1.1 dev eth0"},
		{"a1", "ls /sys/class/net", 0, "eth0\nlo"},
		{"node2", "ip route", 0, "blackhole 10.244.2.0/24 proto plumb"},
		{"node2", "ip route", 0, "10.244.1.0/24 via 172.18.0.2 dev eth0 proto plumb"},
		{"node2", "plumb status", 0, "node2"},
		{"node2", "plumb diff", 0, ""},
		{"internet", "ip -br address show lo", 0, "203.0.113.10/32"},
		{"lan", "bridge link", 0, "node3"},
		{"node1", "ip netns list", 0, "internet"},
	} {
		cmd := c.command("exec", x.where, "--", "sh", "-c", x.command)
		cmd.Stdin = strings.NewReader("from standard input")
		stdout, stderr, code := c.finish(cmd)
		if code != x.code || !strings.Contains(stdout+stderr, x.want) {
			t.Errorf("%s: %s: exit status %d, want %d and %q in:\n%s%s", x.where, x.command, code, x.code, x.want, stdout, stderr)
		}
	}
	if _, stderr, code := c.run("exec", "node9", "--", "true"); code != 2 || !strings.Contains(stderr, "there are node1") {
		t.Errorf("exec in a node that is not there: exit status %d, %s", code, stderr)
	}
	// A command's orphans are the supervisor's to reap.
	c.ok("exec", "a1", "--", "sh", "-c", "(sleep 0.1 &)")
	time.Sleep(150 * time.Millisecond)
	left := c.eventually(func() string {
		out, _, _ := c.run("exec", "a1", "--", "sh", "-c", "ps -eo stat=,args= | grep ^Z")
		return out
	})
	if left != "" {
		t.Errorf("zombies are left:\n%s", left)
	}
	if _, _, code := c.run("exec", "a1", "--", "no-such-command"); code != 127 {
		t.Errorf("exec of a command that is not there: exit status %d", code)
	}
}

func checkNetwork(t *testing.T, c *cluster) {
	if out := c.ok("ping"); strings.Count(out, "42 sent, 0 lost") != 2 {
		t.Errorf("ping:\n%s", out)
	}
	client := &lab.Client{Dir: c.dir()}
	for _, x := range []struct{ from, at, want string }{
		{"a1", "203.0.113.10", "172.18.0.2"},
		{"c2", "203.0.113.10", "172.18.0.4"},
		{"b1", "2001:db8::10", "fd00:172:18::3"},
		{"a1", "10.244.2.10", "10.244.1.10"},
		{"a1", "10.244.1.11", "10.244.1.10"},
		{"a1", "fd00:10:244:3::b", "fd00:10:244:1::a"},
	} {
		seen, err := client.Whoami(context.Background(), x.from, netip.MustParseAddr(x.at))
		if err != nil || seen.String() != x.want {
			t.Errorf("%s is seen at %s as %s (%v), want %s", x.from, x.at, seen, err, x.want)
		}
	}
	// What is not masqueraded does not come back: the host beyond knows no pods.
	results, err := client.Ping(context.Background(), "internet", []netip.Addr{netip.MustParseAddr("10.244.1.10")}, 200*time.Millisecond)
	if err != nil || results[0].Error == "" {
		t.Errorf("ping from the host beyond to a pod: %+v, %v", results, err)
	}
}

// An agent that is killed is started again, and a node whose agent hangs is said
// not to have converged.
func checkAgent(t *testing.T, c *cluster) {
	client := &lab.Client{Dir: c.dir()}
	ctx := context.Background()
	if err := client.Signal(ctx, "node3", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Its BGP session comes back within seconds, and then its peer has to have spoken.
	left := c.within(time.Minute, func() string {
		s, err := client.Status(ctx)
		if err != nil {
			return err.Error()
		}
		if n := s.Nodes[2]; n.Restarts != 1 || !n.Converged {
			return "node3: " + n.Message
		}
		return ""
	})
	if left != "" {
		t.Errorf("after its agent was killed: %s", left)
	}
	if err := client.Signal(ctx, "node3", syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// An answer may be under way when the signal comes.
	if left := c.eventually(func() string {
		if out, _, code := c.run("status"); code != 1 || !strings.Contains(out, "not converged") {
			return fmt.Sprintf("exit status %d\n%s", code, out)
		}
		return ""
	}); left != "" {
		t.Errorf("status with a stopped agent: %s", left)
	}
	if err := client.Signal(ctx, "node3", syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// A signal goes on to the command, and a command ends with its client.
func TestExecSignals(t *testing.T) {
	c := newCluster(t, nil)
	c.ok("up")

	cmd := c.command("exec", "a1", "--", "sh", "-c", "trap 'exit 5' INT; touch $PLUMB_LAB_DIR/trapped; while :; do sleep 0.02; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	trapped := c.base + "/trapped"
	if left := c.eventually(func() string { _, err := os.Stat(trapped); return errText(err) }); left != "" {
		t.Fatal(left)
	}
	os.Remove(trapped)
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		t.Errorf("after SIGINT: exit status %d, want the trap's 5", code)
	}

	cmd = c.command("exec", "a1", "--", "sh", "-c", "touch "+trapped+"; trap '' HUP; sleep 600; : "+c.base+"/")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if left := c.eventually(func() string { _, err := os.Stat(trapped); return errText(err) }); left != "" {
		t.Fatal(left)
	}
	os.Remove(trapped)
	cmd.Process.Kill()
	cmd.Wait()
	left := c.eventually(func() string {
		for _, p := range c.processes() {
			if strings.Contains(p, "sleep 600") {
				return p
			}
		}
		return ""
	})
	if left != "" {
		t.Errorf("the command outlives its client: %s", left)
	}
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}
