package cni

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/plumbnet/plumb/kernel/sysctl"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// forward lets the node route, where it does not: the agent keeps that so, but it
// may not have come yet. What was before is noted as the agent notes it, so that
// it can be put back.
func (r *request) forward(ctx context.Context, n *node) error {
	kind, err := sysctl.New()
	if err != nil {
		return err
	}
	defer kind.Close()
	var changes []state.Change[state.Sysctl]
	wanted := map[string]string{}
	for _, w := range render.Forwarding(n.Node) {
		s, ok := w.Object.(state.Sysctl)
		if !ok {
			continue
		}
		kind.Track(s.Path)
		wanted[s.Path] = s.Value
		changes = append(changes, state.Change[state.Sysctl]{Action: state.Modify, After: s})
	}
	differs := false
	if err := kind.Read(ctx, func(s state.Sysctl) { differs = differs || wanted[s.Path] != s.Value }); err != nil || !differs {
		return err
	}
	if kind.Originals, err = sysctl.OpenOriginals(filepath.Join(r.StateDir, "sysctls.json")); err != nil {
		return err
	}
	return errors.Join(append(kind.Apply(ctx, changes), kind.Originals.Err())...)
}
