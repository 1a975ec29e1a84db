package agent

import (
	"context"
	"time"

	"github.com/plumbnet/plumb/agent/notify"
	"github.com/plumbnet/plumb/reconcile"
)

// service tells a service manager (systemd) what it needs to know. What others
// start before READY is started before this node has a network; so the agent says
// it after its first turn, and not only once it has a valid state file: without
// one it waits for a person, and is no service that failed to start.
type service struct {
	agent  *agent
	socket string // where the service manager listens; empty: nobody asks
	told   string // last, on the loop's goroutine
	ready  bool

	reloaded bool // since the last turn, likewise
}

func (s *service) tell(assignments ...string) {
	if err := notify.Send(s.socket, assignments...); err != nil {
		s.agent.Log.Warn("the service manager does not listen", "err", err)
	}
}

// reloading is told before a new state file goes to the loop; the turn after it
// was taken is the end.
func (s *service) reloading() {
	if s.socket == "" {
		return
	}
	if text, err := notify.Reloading(); err == nil {
		s.tell(text)
	}
}

// turned is told after every turn, and speaks where there is news.
func (s *service) turned(e *reconcile.Engine) {
	if s.socket == "" {
		return
	}
	status := s.status(e)
	if s.ready && !s.reloaded && status == s.told {
		return
	}
	s.ready, s.told, s.reloaded = true, status, false
	s.tell(notify.Ready, status)
}

func (s *service) status(e *reconcile.Engine) string {
	switch failures := len(e.Failures()); {
	case s.agent.sources.file == nil:
		return notify.Status("waiting for a valid state file at %s", s.agent.File)
	case failures > 0:
		return notify.Status("%d objects fail or are in conflict: see plumb status", failures)
	case !s.agent.file.Load().Valid:
		return notify.Status("the state file is invalid, the last good state is in force")
	case !e.Settled():
		return notify.Status("converging")
	}
	return notify.Status("converged")
}

// run answers the watchdog for as long as the loop turns.
func (s *service) run(ctx context.Context) {
	every := notify.Watchdog()
	if s.socket == "" || every == 0 {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if s.agent.loop.Ask(ctx, func(*reconcile.Engine) {}) == nil {
			s.tell(notify.Alive)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *service) stopping() { s.tell(notify.Stopping) }
