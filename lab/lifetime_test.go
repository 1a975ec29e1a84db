package lab_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// supervisorPID is what a user would find with ps.
func (c *cluster) supervisorPID() int {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(string(c.dir()), "supervisor.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	var p struct{ PID int }
	if err := json.Unmarshal(b, &p); err != nil {
		c.t.Fatal(err)
	}
	return p.PID
}

// After kill -9 nothing runs; down removes the rest, and so does the next up.
func TestKilledSupervisor(t *testing.T) {
	asUsers(t, func(t *testing.T, c *cluster) {
		c.ok("up")
		if err := syscall.Kill(c.supervisorPID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if left := c.eventually(func() string { return strings.Join(c.processes(), "\n") }); left != "" {
			t.Errorf("processes outlive the supervisor:\n%s", left)
		}
		if _, stderr, code := c.run("status"); code != 2 || !strings.Contains(stderr, "plumb lab up") {
			t.Errorf("status: exit status %d, %s", code, stderr)
		}
		c.ok("up")
		if err := syscall.Kill(c.supervisorPID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.ok("down")
		c.leavesNothing()
	})
}

// A supervisor that no longer answers is killed.
func TestDownOfAHungSupervisor(t *testing.T) {
	c := newCluster(t, nil)
	c.ok("up")
	if err := syscall.Kill(c.supervisorPID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.ok("down")
	c.leavesNothing()
}

// Ctrl-C while the lab comes up takes it down again.
func TestInterruptedUp(t *testing.T) {
	asUsers(t, func(t *testing.T, c *cluster) {
		for _, until := range []string{"supervisor.json", "nodes/node3/agent.log"} {
			cmd := c.command("up", "-f", c.neverConverges())
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if left := c.eventually(func() string { _, err := os.Stat(filepath.Join(string(c.dir()), until)); return errText(err) }); left != "" {
				t.Error(left)
			}
			cmd.Process.Signal(os.Interrupt)
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 2 {
				t.Errorf("exit status %d, want 2", code)
			}
			c.leavesNothing()
		}
	})
}

// Where a node does not converge, up says which and what its agent says.
func TestUpThatDoesNotConverge(t *testing.T) {
	c := newCluster(t, nil)
	// Time enough for the others, which have to learn routes by BGP.
	_, stderr, code := c.run("up", "--wait", "10s", "-f", c.neverConverges())
	if code != 2 || !strings.Contains(stderr, "node node1 has not converged within 10s") || !strings.Contains(stderr, "tap9") {
		t.Errorf("exit status %d, %s", code, stderr)
	}
	c.leavesNothing()
}

// Labs of different names live side by side.
func TestTwoLabs(t *testing.T) {
	one := newCluster(t, nil)
	one.ok("up")
	two := *one
	two.name = "other"
	two.ok("up")
	two.ok("down")
	if _, err := os.Stat(string(two.dir())); err == nil {
		t.Error("the run directory of the second is left")
	}
	one.ok("exec", "node1", "--", "plumb", "status")
}

// The demonstration finds everything as it should be.
func TestDemo(t *testing.T) {
	asUsers(t, func(t *testing.T, c *cluster) {
		out := c.ok("demo")
		for _, want := range []string{"All is as it should be", "172.18.0.2, node1's", "+ route 10.244.1.10/32", "*>  10.244.3.0/24", "lladdr ee:ee:ee:ee:ee:ee"} {
			if !strings.Contains(out, want) {
				t.Errorf("it does not say %q:\n%s", want, out)
			}
		}
		c.leavesNothing()
	})
}

// A reader that goes away takes the demonstration's lab along.
func TestDemoWithoutAReader(t *testing.T) {
	c := newCluster(t, nil)
	cmd := c.command("demo")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd.Stdout = w
	err = cmd.Run()
	w.Close()
	if code := cmd.ProcessState.ExitCode(); code != 2 {
		t.Errorf("%v: exit status %d, want 2", err, code)
	}
	c.leavesNothing()
}
