package agent

import (
	"errors"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state/desired"
)

// remoteSource is another node: what leads to it is a source of its own, so that a
// change of one node among thousands costs that of one.
type remoteSource struct {
	node     *desired.Node
	wanted   []render.Wanted
	warnings []render.Warning
	other    bool // the engine has been given something else for the time being
	round    uint64
}

func remoteID(node string) reconcile.Source {
	return reconcile.Source{Rank: rankNode, ID: "node/" + node}
}

// renderNode renders the node and what leads to others, as far as it changed.
func (s *sources) renderNode() error {
	if s.file == nil {
		return nil
	}
	v, err := render.NewView(s.file, s.node, s.host)
	if err != nil {
		return err
	}
	base, said := v.Node()
	s.beginHandover(base, v.Paths.Rule())
	errs := []error{s.setBase(base)}
	same := v.SameRemotes(s.view)
	s.view = v
	s.round++
	warnings := said
	for n := range v.Others() {
		r := s.remotes[n.Name]
		if r == nil {
			r = &remoteSource{}
			s.remotes[n.Name] = r
		}
		if !same || r.node == nil || !render.SameNode(r.node, n) {
			r.wanted, r.warnings = v.Remote(n)
			errs = append(errs, s.setRemote(n.Name, r))
		}
		r.node, r.round = n, s.round
		warnings = append(warnings, r.warnings...)
	}
	s.warnings = warnings
	for name, r := range s.remotes {
		if r.round != s.round {
			delete(s.remotes, name)
			errs = append(errs, s.engine.SetSource(remoteID(name), nil))
		}
	}
	return errors.Join(append(errs, s.runHandover())...)
}

// setBase gives the engine what the node wants whatever others there are.
func (s *sources) setBase(base []render.Wanted) error {
	s.base = base
	return s.engine.SetSource(reconcile.Source{Rank: rankNode, ID: "node"}, s.handover.base(base))
}

// setRemote gives the engine what leads to another node.
func (s *sources) setRemote(name string, r *remoteSource) error {
	var wanted []render.Wanted
	wanted, r.other = s.handover.remote(name, r.wanted)
	return s.engine.SetSource(remoteID(name), wanted)
}

// forgetRemotes takes back what leads to other nodes.
func (s *sources) forgetRemotes() error {
	var errs []error
	for name := range s.remotes {
		delete(s.remotes, name)
		errs = append(errs, s.engine.SetSource(remoteID(name), nil))
	}
	s.view = nil
	return errors.Join(errs...)
}
