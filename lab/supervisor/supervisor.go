// Package supervisor is a lab from inside: PID 1 of namespaces of its own, which
// makes the network namespaces, wires them, runs the agents and answers on the
// control socket. Its death, however it comes, is the end of all of that.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/lab"
)

// supervisor is what a running lab consists of.
type supervisor struct {
	dir    lab.Dir
	name   string // the topology's
	layout *lab.Layout
	agents map[string]*agent
	closer []io.Closer
	reaper reaper
	stop   context.CancelFunc

	// Pingers are made when they are first used, one for each namespace.
	pingMu  sync.Mutex
	pingers map[string]*pinger
}

// Run brings the lab in dir up, reports to lab.ReadyFD, and stays until it is
// asked to stop. plugin is the CNI plugin's binary. It must be PID 1 of the namespaces that lab.Start makes.
func Run(ctx context.Context, dir lab.Dir, plugin string, wait time.Duration) error {
	if os.Getpid() != 1 {
		return errors.New("plumb lab supervise is started by `plumb lab up`, in namespaces of its own")
	}
	// Nothing that is started here may keep the lock or the pipe.
	unix.CloseOnExec(lab.LockFD)
	unix.CloseOnExec(lab.ReadyFD)
	ready := os.NewFile(lab.ReadyFD, "ready")
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	s := &supervisor{dir: dir, agents: map[string]*agent{}, pingers: map[string]*pinger{}}
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	l, err := s.up(ctx, plugin, wait)
	if err != nil {
		fmt.Fprintln(ready, err)
		return err
	}
	fmt.Fprintln(ready, lab.Ready)
	ready.Close()
	slog.Info("the lab is up", "topology", s.name, "nodes", len(s.layout.Nodes), "pods", len(s.layout.Pods()))
	s.serve(ctx, l)
	s.stopAgents()
	slog.Info("the lab is down")
	return nil
}

// up makes everything, in the order in which it is needed.
func (s *supervisor) up(ctx context.Context, plugin string, wait time.Duration) (*net.UnixListener, error) {
	topology, err := lab.ReadTopology(s.dir.Topology())
	if err != nil {
		return nil, err
	}
	s.name = topology.Name
	if s.layout, err = topology.Layout(); err != nil {
		return nil, err
	}
	if err := mounts(s.dir, plugin); err != nil {
		return nil, err
	}
	go s.reaper.run(ctx)
	if err := os.WriteFile(s.dir.StateFile(), []byte(topology.State), 0o644); err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	for _, n := range s.layout.Nodes {
		if n.State == "" {
			continue
		}
		own := filepath.Join(s.dir.NodeDir(n.Name), "plumb.yaml")
		if err := errors.Join(os.MkdirAll(s.dir.NodeDir(n.Name), 0o700), os.WriteFile(own, []byte(n.State), 0o644)); err != nil {
			return nil, fmt.Errorf("state file of %s: %w", n.Name, err)
		}
	}
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	if err := s.startAgents(ctx); err != nil {
		return nil, err
	}
	// Not before now: what answers here is a whole lab.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.dir.Control(), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := s.await(ctx, wait); err != nil {
		return nil, err
	}
	return l, nil
}

// await waits until every node has converged, or has come as far as this kernel lets it.
func (s *supervisor) await(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	errs := make([]error, len(s.layout.Nodes)) // each node says what it lacks
	var wg sync.WaitGroup
	for i, n := range s.layout.Nodes {
		a := s.agents[n.Name]
		wg.Go(func() { errs[i] = s.awaitNode(ctx, a, wait) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// awaitNode waits for one node, until ctx ends, which it does after wait.
func (s *supervisor) awaitNode(ctx context.Context, a *agent, wait time.Duration) error {
	var last string
	for {
		standing, message := a.standing(ctx)
		if standing != atWork {
			missing, err := s.notLearned(ctx, a.node, message)
			if err == nil && len(missing) == 0 {
				return nil
			}
			message = strings.Join(missing, "\n")
		}
		if ctx.Err() == nil || last == "" {
			last = message
		}
		select {
		case end := <-a.ended:
			return fmt.Errorf("node %s: its agent ended (%s); the end of its log:\n%s", a.node, end, lab.Tail(s.dir.AgentLog(a.node), 20))
		case <-ctx.Done():
			return fmt.Errorf("node %s has not converged within %s: %s; the end of its agent's log:\n%s",
				a.node, wait, last, lab.Tail(s.dir.AgentLog(a.node), 20))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
