package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/lab/ns"
)

// agent keeps a node's agent running, as a service manager would.
type agent struct {
	node   string
	dir    lab.Dir
	reaper *reaper
	ended  chan string   // how it ended, for who waits while the lab comes up
	gone   chan struct{} // closed when it will not be started again

	mu       sync.Mutex
	process  *os.Process // nil: not running
	restarts int
}

// restartAfter is how long an agent that ended is left alone.
const restartAfter = time.Second

func (s *supervisor) startAgents(ctx context.Context) error {
	for _, n := range s.layout.Nodes {
		a := &agent{node: n.Name, dir: s.dir, reaper: &s.reaper, ended: make(chan string, 1), gone: make(chan struct{})}
		cmd, err := a.start()
		if err != nil {
			return fmt.Errorf("node %s: agent: %w", n.Name, err)
		}
		go a.keep(ctx, cmd)
		s.agents[n.Name] = a
	}
	return nil
}

func (a *agent) start() (*exec.Cmd, error) {
	log, err := os.OpenFile(a.dir.AgentLog(a.node), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// Not CommandContext: the end of the context is a SIGTERM, and orderly.
	cmd := exec.Command(filepath.Join(binDir, "plumb"), "agent",
		"--file", a.dir.StateFileOf(a.node),
		"--node", a.node,
		"--state-dir", a.dir.StateDir(a.node),
		"--socket", a.dir.Socket(a.node),
		"--http", "127.0.0.1:9178") // of the node's own loopback
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := ns.Do(a.node, func() error { return a.reaper.start(cmd) }); err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.process = cmd.Process
	a.mu.Unlock()
	return cmd, nil
}

// keep starts the agent again whenever it ends, until ctx ends.
func (a *agent) keep(ctx context.Context, cmd *exec.Cmd) {
	defer close(a.gone)
	defer context.AfterFunc(ctx, func() { a.signal(syscall.SIGTERM) })() //nolint:errcheck // it may have ended
	for {
		end := "exit status 0"
		if err := a.reaper.wait(cmd); err != nil {
			end = err.Error()
		}
		a.mu.Lock()
		a.process = nil
		a.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		slog.Warn("the agent ended", "node", a.node, "how", end)
		select {
		case a.ended <- end:
		default:
		}
		for cmd = nil; cmd == nil; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(restartAfter):
			}
			var err error
			if cmd, err = a.start(); err != nil {
				slog.Error("the agent does not start", "node", a.node, "err", err)
			}
		}
		a.mu.Lock()
		a.restarts++
		a.mu.Unlock()
	}
}

func (a *agent) signal(sig syscall.Signal) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.process == nil {
		return fmt.Errorf("node %s: its agent is not running", a.node)
	}
	if err := a.process.Signal(sig); err != nil {
		return fmt.Errorf("node %s: agent: %w", a.node, err)
	}
	if sig == syscall.SIGSTOP {
		return a.awaitStop()
	}
	return nil
}

// awaitStop waits until every thread has stopped: one that waits in the kernel, for the
// lock on routes, first does what it was sent to do.
func (a *agent) awaitStop() error {
	threads := fmt.Sprintf("/proc/%d/task/*/stat", a.process.Pid)
	for end := time.Now().Add(stopPatience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		files, err := filepath.Glob(threads)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(files, runs) {
			return nil
		}
	}
	return fmt.Errorf("node %s: its agent has not stopped within %s", a.node, stopPatience)
}

const stopPatience = 20 * time.Second

// runs says of a thread's stat file (proc(5)) that its thread is not stopped.
func runs(file string) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return false // it has ended
	}
	_, state, _ := strings.Cut(string(b), ") ") // behind its name
	return !strings.HasPrefix(state, "T")
}

// stopAgents waits a little for the agents to end in order; ctx has ended.
func (s *supervisor) stopAgents() {
	patience := time.After(2 * time.Second)
	for _, a := range s.agents {
		a.signal(syscall.SIGCONT) //nolint:errcheck // it may have ended
		select {
		case <-a.gone:
		case <-patience:
			slog.Warn("an agent does not end; it is killed", "node", a.node)
			return
		}
	}
}
