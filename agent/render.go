package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/plumbnet/plumb/kernel/host"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// Rendered is what a state file makes of a node.
type Rendered struct {
	Wanted    []render.Wanted // in the order of kinds
	Warnings  []string
	Elsewhere bool // this host is not the node
}

// Render computes the node's state, from this host's devices where it is the node.
func Render(ctx context.Context, l *Loaded, node, stateDir string) (*Rendered, error) {
	h, err := host.Open()
	if err != nil {
		return nil, fmt.Errorf("read the host's devices: %w", err)
	}
	defer h.Close()
	list, err := h.Interfaces(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the host's devices: %w", err)
	}
	e := reconcile.NewEngine(paperKinds()...)
	s := newSources(e, node)
	s.bgp.on, s.bgp.passwords = true, passwordsBeside(l, node, stateDir, nil)
	if err := s.setInterfaces(list); err != nil {
		return nil, err
	}
	n, _ := l.File.Node(node) // Load saw that it is there
	s.host.Elsewhere = !s.host.Has(n)
	var records []state.Endpoint
	if !s.host.Elsewhere {
		var errs []error
		if records, errs = Endpoints(stateDir).List(); len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
	}
	err = errors.Join(s.setFile(l.File), s.setEndpoints(records))
	if err != nil {
		return nil, err
	}
	r := &Rendered{Elsewhere: s.host.Elsewhere, Warnings: (&Once{engine: e, sources: s}).Warnings()}
	for _, o := range e.Want().Sorted() {
		r.Wanted = append(r.Wanted, render.Wanted{Object: o, Origin: e.Origin(o.Key())})
	}
	return r, nil
}

// paperKinds stand for every kind where only the wanted objects count: what is
// merged on paper needs no kernel.
func paperKinds() []reconcile.Kind {
	return []reconcile.Kind{reconcile.KindOf(unavailable{errors.New("on paper")}, false, state.Kinds()...)}
}
