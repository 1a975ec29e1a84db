package runtimes

import (
	"sync"
	"syscall"
)

// agent is the plumb agent of a node, which is ended and started again.
type agent struct {
	n  *node
	mu sync.Mutex
	p  *process
}

func (n *node) agent() *agent {
	n.t.Helper()
	a := &agent{n: n}
	a.start()
	return a
}

func (a *agent) start() {
	a.n.t.Helper()
	a.p = a.n.start("agent", a.n.plumbCommand("agent"))
}

// restart ends the agent by a signal and starts the next.
func (a *agent) restart(s syscall.Signal) {
	a.n.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.p.running() {
		a.n.t.Error("the agent ended by itself")
	}
	a.p.end(s)
	a.start()
}
