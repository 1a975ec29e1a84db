package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// Once compares a node with its state file, and converges it, by hand.
type Once struct {
	Loaded  *Loaded
	kernel  *Kernel
	engine  *reconcile.Engine
	sources *sources
}

// NewOnce renders what a loaded state file wants on this host; endpoint records
// come from the state directory.
func NewOnce(ctx context.Context, l *Loaded, node, stateDir string) (*Once, error) {
	k, err := OpenKernel(stateDir, ownTables(l, stateDir, node)...)
	if err != nil {
		return nil, err
	}
	o := &Once{Loaded: l, kernel: k, engine: k.Engine()}
	o.sources = newSources(o.engine, node)
	protect(o.engine, l)
	if err := o.fill(ctx, stateDir); err != nil {
		k.Close()
		return nil, err
	}
	return o, nil
}

// ownTables are the routing tables to look into: the file's, and that of the
// state that was in force before it.
func ownTables(l *Loaded, stateDir, node string) []uint32 {
	tables := []uint32{state.TableMain}
	if l != nil {
		tables = []uint32{l.File.Settings.RouteTable}
	}
	if good, err := loadLastGood(stateDir, node); err == nil && good != nil && good.File.Settings.RouteTable != tables[0] {
		tables = append(tables, good.File.Settings.RouteTable)
	}
	return tables
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
	)
}

// Close closes the kernel's sockets.
func (o *Once) Close() { o.kernel.Close() }

// Warnings gives what cannot be made as the file says, and what waits.
func (o *Once) Warnings() []string {
	var out []string
	for _, w := range o.sources.warnings {
		out = append(out, w.String())
	}
	for _, p := range o.sources.pending() {
		out = append(out, p.String())
	}
	for _, s := range o.engine.Shadowed() {
		out = append(out, fmt.Sprintf("%s: %s is shadowed by %s", s.Origin, state.String(s.Object), s.By))
	}
	return out
}

// Want is what should be.
func (o *Once) Want() (state.Snapshot, func(state.Key) string) {
	return o.engine.Want(), o.engine.Origin
}

// Plan reads the kernel and gives what differs, with what is in the way of it.
func (o *Once) Plan(ctx context.Context) (reconcile.Plan, error) {
	if err := o.engine.Read(ctx); err != nil {
		return reconcile.Plan{}, err
	}
	p := o.engine.Plan()
	var keys []state.Key
	for _, s := range p.Steps {
		if s.Action == state.Add && s.After.Key().Kind == state.KindRoute {
			keys = append(keys, s.After.Key())
		}
	}
	if len(keys) == 0 {
		return p, nil
	}
	foreign, err := o.kernel.Routes.Foreign(ctx, keys)
	if err != nil {
		return p, fmt.Errorf("look for other owners' routes: %w", err)
	}
	for i := range p.Steps {
		p.Steps[i].Conflict = foreign[p.Steps[i].Object().Key()]
	}
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
	for range passes {
		done, failures := o.engine.Apply(ctx, p)
		for _, d := range done {
			all.Steps = append(all.Steps, d.Step)
		}
		var errs []error
		for _, f := range failures {
			errs = append(errs, fmt.Errorf("%s: %w", f.Key, f.Err))
		}
		if len(errs) > 0 {
			return all, errors.Join(errs...)
		}
		if len(done) == 0 {
			return all, nil
		}
		if err := o.engine.Read(ctx); err != nil {
			return all, err
		}
		p = o.engine.Plan()
	}
	if !p.Empty() {
		return all, fmt.Errorf("something keeps changing what was made: %s", p.Steps[0].Change)
	}
	return all, nil
}

// Keep makes the loaded file the last good one.
func (o *Once) Keep(stateDir string) error { return saveLastGood(stateDir, o.Loaded) }

// Restore converges to a snapshot in place of the file: the state before an
// Apply that was not confirmed.
func (o *Once) Restore(ctx context.Context, before state.Snapshot) (reconcile.Plan, error) {
	for id, e := range o.sources.endpoints {
		if err := o.sources.removeEndpoint(id, e.rank); err != nil {
			return reconcile.Plan{}, err
		}
	}
	wanted := make([]render.Wanted, 0, len(before))
	for _, object := range before {
		wanted = append(wanted, render.Wanted{Object: object, Origin: "before"})
	}
	if err := o.engine.SetSource(reconcile.Source{Rank: rankNode, ID: "node"}, wanted); err != nil {
		return reconcile.Plan{}, err
	}
	if err := o.engine.Read(ctx); err != nil {
		return reconcile.Plan{}, err
	}
	return o.Apply(ctx, o.engine.Plan())
}

// Cleanup removes all that plumb owns from the node, puts changed sysctls back to
// what they were, and clears the state directory. Host ends that the state file
// names were made by other hands, and stay; l may be nil.
func Cleanup(ctx context.Context, l *Loaded, node, stateDir string, dryRun bool) (reconcile.Plan, error) {
	if good, err := loadLastGood(stateDir, node); l == nil && err == nil {
		l = good
	}
	k, err := OpenKernel(stateDir, ownTables(l, stateDir, node)...)
	if err != nil {
		return reconcile.Plan{}, err
	}
	defer k.Close()
	o := &Once{kernel: k, engine: k.Engine()}
	o.sources = newSources(o.engine, node)
	o.engine.Keep(handWired(l, node))
	var wanted []render.Wanted
	for _, s := range k.Originals.Restorations() {
		wanted = append(wanted, render.Wanted{Object: s, Origin: "as it was before plumb"})
	}
	if err := o.engine.SetSource(reconcile.Source{Rank: rankNode, ID: "originals"}, wanted); err != nil {
		return reconcile.Plan{}, err
	}
	p, err := o.Plan(ctx)
	if err != nil || dryRun {
		return p, err
	}
	done, err := o.Apply(ctx, p)
	if err != nil {
		return done, err
	}
	return done, clearStateDir(stateDir)
}

func handWired(l *Loaded, node string) func(state.Object) bool {
	names := map[string]bool{}
	if l != nil {
		for _, e := range render.FileEndpoints(l.File, node) {
			names[e.Interface] = true
		}
	}
	return func(o state.Object) bool {
		link, ok := o.(state.Link)
		return ok && names[link.Name]
	}
}

func clearStateDir(dir string) error {
	return errors.Join(
		os.RemoveAll(filepath.Join(dir, endpointsDir)),
		os.RemoveAll(filepath.Join(dir, lastGoodName)),
		os.RemoveAll(filepath.Join(dir, originalsName)),
	)
}

// Snapshot reads what plumb owns now. Sysctls are told by what a state file wants
// of them; without one (nil) they are left out.
func Snapshot(ctx context.Context, l *Loaded, node, stateDir string) (state.Snapshot, error) {
	if l == nil {
		l = &Loaded{File: &desired.File{Nodes: []desired.Node{{Name: node}}, Settings: desired.Settings{RouteTable: state.TableMain}}}
	}
	o, err := NewOnce(ctx, l, node, stateDir)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if err := o.engine.Read(ctx); err != nil {
		return nil, err
	}
	return o.Have(), nil
}
