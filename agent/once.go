package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// Once compares a node with its state file, and converges it, by hand.
type Once struct {
	Loaded  *Loaded
	state   string // the state directory
	kernel  *Kernel
	engine  *reconcile.Engine
	sources *sources
	beside  []Beside // found by Plan
	bgp     *BGPState
}

// NewOnce renders what a loaded state file wants on this host; endpoint records
// come from the state directory.
//
// BGP is the running agent's alone. b is what it said of it; nil, where none runs:
// then sessions are left out, and learned routes stay as they are.
func NewOnce(ctx context.Context, l *Loaded, node, stateDir string, b *BGPState) (*Once, error) {
	k, err := OpenKernel(stateDir, tablesOf(stateDir, l)...)
	if err != nil {
		return nil, err
	}
	if b != nil {
		k.With(reconcile.KindOf[state.Object](recorded{b.Objects}, true, bgpKinds...))
	}
	o := &Once{Loaded: l, state: stateDir, kernel: k, engine: k.Engine(), bgp: b}
	o.sources = newSources(o.engine, node)
	k.Sysctls.Lasts = o.sources.handWired
	protect(o.engine)
	if err := o.takeBGP(ctx); err != nil {
		k.Close()
		return nil, err
	}
	if err := o.fill(ctx, stateDir); err != nil {
		k.Close()
		return nil, err
	}
	return o, nil
}

func (o *Once) fill(ctx context.Context, stateDir string) error {
	list, err := o.kernel.Host.Interfaces(ctx)
	if err != nil {
		return fmt.Errorf("read the host's devices: %w", err)
	}
	records, errs := Endpoints(stateDir).List()
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return errors.Join(
		o.sources.setInterfaces(list),
		o.sources.setFile(o.Loaded.File),
		o.sources.setEndpoints(records),
		o.learn(),
	)
}

// Close closes the kernel's sockets.
func (o *Once) Close() { o.kernel.Close() }

// Warnings gives what cannot be made as the file says, and what waits.
func (o *Once) Warnings() []string {
	var out []string
	if o.kernel != nil && o.kernel.Notice != nil {
		out = append(out, o.kernel.Notice.Error())
	}
	for _, w := range o.sources.allWarnings() {
		out = append(out, w.String())
	}
	for _, p := range o.sources.pending() {
		out = append(out, p.String())
	}
	for _, b := range o.beside {
		out = append(out, b.Origin+": "+b.String())
	}
	for _, s := range o.engine.Shadowed() {
		out = append(out, fmt.Sprintf("%s: %s is shadowed by %s", s.Origin, state.String(s.Object), s.By))
	}
	return out
}

// Against gives what differs from a snapshot, in place of the kernel.
func (o *Once) Against(have state.Snapshot) reconcile.Plan {
	want := o.engine.Want()
	if o.sources.bgp.passwords == nil {
		forgetPasswords(have)
	}
	for key, object := range have {
		if want[key] == nil && o.engine.Kept(object) {
			delete(have, key)
		}
	}
	return reconcile.Diff(want, have, o.engine.Origin)
}

// Plan reads the kernel and gives what differs, with what is in the way of it.
func (o *Once) Plan(ctx context.Context) (reconcile.Plan, error) {
	if err := o.engine.Read(ctx); err != nil {
		return reconcile.Plan{}, err
	}
	p := o.engine.Plan()
	// (A cleanup wants no pods, whatever is recorded.)
	if o.Loaded != nil && slices.ContainsFunc(p.Steps, func(s reconcile.Step) bool { return s.Action == state.Delete && toHostEnd(s.Before) }) {
		// A pod that was wired after the records were read, and before the routes.
		if err := o.fill(ctx, o.state); err != nil {
			return reconcile.Plan{}, err
		}
		p = o.engine.Plan()
	}
	keys := standingRoutes(o.engine)
	var changed []state.Change[state.Route]
	for _, s := range p.Steps {
		if before, ok := s.Before.(state.Route); ok && s.Action == state.Modify {
			changed = append(changed, state.Change[state.Route]{Action: s.Action, Before: before, After: s.After.(state.Route)})
		}
		// Another's can stand before plumb's own too (ip route prepend), which then is not
		// changed either.
		if s.Action != state.Delete && s.After.Key().Kind == state.KindRoute {
			keys = append(keys, s.After.Key())
		}
	}
	foreign, err := o.kernel.Routes.Foreign(ctx, keys)
	if err != nil {
		return p, fmt.Errorf("look for other owners' routes: %w", err)
	}
	maps.Copy(foreign, o.kernel.Routes.Shared(changed))
	for i := range p.Steps {
		key := p.Steps[i].Object().Key()
		p.Steps[i].Conflict = foreign[key]
		delete(foreign, key) // what is left stands beside a route that is there
	}
	o.beside = besides(o.engine, foreign)
	return p, nil
}

// Have is what plumb owns in the kernel, after Plan.
func (o *Once) Have() state.Snapshot { return o.engine.Have() }

// passes is how often Apply looks again at what it made: a link that is set up
// loses and gains routes by the kernel's own hand.
const passes = 4

// Apply carries out a plan, looks again, and goes on until nothing differs. It
// gives what it did, and an error that names what could not be done.
func (o *Once) Apply(ctx context.Context, p reconcile.Plan) (reconcile.Plan, error) {
	var all reconcile.Plan
	if o.Loaded != nil && !p.Empty() {
		if err := noteTable(o.state, o.Loaded); err != nil {
			return all, err
		}
	}
	var err error // what failed in the last pass
	for range passes {
		done, failures := o.engine.Apply(ctx, p)
		for _, d := range done {
			all.Steps = append(all.Steps, *d.Step)
		}
		var errs []error
		for _, f := range failures {
			errs = append(errs, fmt.Errorf("%s: %w", f.Key, f.Err))
		}
		// One that failed does not keep the others from being looked at again.
		if err = errors.Join(errs...); len(done) == 0 {
			return all, err
		}
		if err := o.engine.Read(ctx); err != nil {
			return all, err
		}
		p = o.engine.Plan()
	}
	if err == nil && !p.Empty() {
		err = fmt.Errorf("something keeps changing what was made: %s", p.Steps[0].Change)
	}
	return all, err
}

// Keep makes the loaded file the last good one.
func (o *Once) Keep() error { return saveLastGood(o.state, o.Loaded) }

// Restore converges to a snapshot in place of the file: the state before an
// Apply that was not confirmed.
func (o *Once) Restore(ctx context.Context, before state.Snapshot) (reconcile.Plan, error) {
	for id, e := range o.sources.endpoints {
		if err := o.sources.removeEndpoint(id, e.rank); err != nil {
			return reconcile.Plan{}, err
		}
	}
	if err := o.sources.forgetRemotes(); err != nil {
		return reconcile.Plan{}, err
	}
	wanted := make([]render.Wanted, 0, len(before))
	for _, object := range before {
		wanted = append(wanted, render.Wanted{Object: object, Origin: "before"})
	}
	for _, s := range o.kernel.Originals.Untouched() {
		if before[s.Key()] == nil {
			wanted = append(wanted, render.Wanted{Object: s, Origin: "before"})
		}
	}
	if err := o.engine.SetSource(reconcile.Source{Rank: rankNode, ID: "node"}, wanted); err != nil {
		return reconcile.Plan{}, err
	}
	if err := o.engine.Read(ctx); err != nil {
		return reconcile.Plan{}, err
	}
	return o.Apply(ctx, o.engine.Plan())
}

// Snapshot reads what plumb owns now. Sysctls are told by what a state file wants
// of them; without one (nil) they are left out.
func Snapshot(ctx context.Context, l *Loaded, node, stateDir string) (state.Snapshot, error) {
	if l == nil {
		l = &Loaded{File: &desired.File{Nodes: []desired.Node{{Name: node}}, Settings: desired.Settings{RouteTable: state.TableMain}}}
	}
	o, err := NewOnce(ctx, l, node, stateDir, nil)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if err := o.engine.Read(ctx); err != nil {
		return nil, err
	}
	return o.Have(), nil
}
