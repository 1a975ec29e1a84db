package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plumbnet/plumb/agent/notify"
	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/kernel/route"
	"github.com/plumbnet/plumb/kernel/sysctl"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// Options say where the agent's things are.
type Options struct {
	File     string // the state file, or a directory of them
	Node     string
	StateDir string
	Socket   string // of the local API
	HTTP     string // address of health, metrics and status; empty: none
	DryRun   bool
	Version  string
	Log      *slog.Logger
	Drain    <-chan os.Signal // withdraw what BGP announces, for maintenance; may be nil

	pollFile time.Duration // for tests, in place of the constant
}

type agent struct {
	Options
	started time.Time
	loop    *reconcile.Loop
	sources *sources // belongs to the loop's goroutine
	metrics *metrics
	flows   *forgetter
	service *service

	speaker     *speaker
	passwords   *bgp.Passwords
	pumps       sync.WaitGroup
	settled     atomic.Bool               // the restart of BGP is over
	bgpSince    atomic.Pointer[time.Time] // when the speaker was opened
	bgpWasReady atomic.Bool
	draining    sync.Mutex

	// The loop's goroutine's, too:
	originals *sysctl.Originals
	routes    *route.Kind
	beside    []Beside

	staleRoutes bool // of the host: they changed since they were read

	file      atomic.Pointer[FileStatus]
	lastTurn  atomic.Pointer[time.Time] // when the loop last turned
	converged atomic.Pointer[time.Time] // when it last had nothing left to do
	ready     atomic.Bool               // converged at least once on a valid file
	records   atomic.Pointer[[]string]  // errors of endpoint records, at the last full reading

	hadRecords   atomic.Bool     // the directory of records was there once
	contested    bool            // said by sayContested
	saidPlan     string          // by sayPlan, last
	saidWarnings map[string]bool // by sayWarnings, last
	saidHTTP     string          // by serveHTTP, last
}

// Run is the agent: it converges the node until ctx ends, and then leaves the
// kernel as it is.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := MakeStateDir(o.StateDir); err != nil {
		o.Log.Error("going on without a state directory", "err", err)
	}
	unlock, err := Lock(o.StateDir, "the agent")
	if err != nil {
		return err
	}
	defer unlock()

	a := &agent{Options: o, started: time.Now()}
	a.flows = newForgetter(o.Log)
	a.file.Store(&FileStatus{Path: o.File})
	rl := &reloader{path: o.File, node: o.Node, log: o.Log, sleep: time.Sleep}
	good, err := loadLastGood(o.StateDir, o.Node)
	if err != nil {
		o.Log.Warn("the last good state cannot be used", "err", err)
	}
	first, status := a.firstFile(rl, good)
	tables := tablesOf(o.StateDir, first)
	a.keep(first)
	a.file.Store(&status)

	k, err := OpenKernel(o.StateDir, tables...)
	if err != nil {
		return err
	}
	defer k.Close()
	if k.Notice != nil {
		o.Log.Error("what was before plumb is not known", "err", k.Notice)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.startBGP(ctx, k)
	engine := k.Engine()
	protect(engine)
	engine.Hold(holdLearned, isLearned)
	a.sources = newSources(engine, o.Node)
	a.sources.bgp.on, a.sources.bgp.linkLost = true, a.linkLost
	a.sources.bgp.tell = func(l *render.Learned) { a.tellNextHops(ctx, k, l) }
	if first != nil {
		a.sources.bgp.passwords = a.lookAtPasswords(first.File)
	}
	a.sources.after = a.after
	k.Sysctls.Lasts = a.sources.handWired
	a.originals, a.routes = k.Originals, k.Routes
	a.loop = reconcile.NewLoop(engine)
	a.loop.Log, a.loop.DryRun, a.loop.OnTurn = o.Log, o.DryRun, a.turned
	a.metrics = newMetrics(a)
	a.metrics.loaded(status.Valid) // the first of them
	a.service = &service{agent: a, socket: notify.Socket()}

	if err := a.firstFacts(ctx, k, first); err != nil {
		return err
	}
	servers, err := a.serve(ctx)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		watchPath(ctx, o.File, cmp.Or(o.pollFile, pollFile), o.Log, func([]string) { a.reload(rl, k) })
	})
	store := Endpoints(o.StateDir)
	wg.Go(func() { watchPath(ctx, store.Dir, pollEndpoints, o.Log, a.endpointFiles) })
	wg.Go(func() { a.flows.run(ctx) })
	wg.Go(func() { a.service.run(ctx) })
	wg.Go(func() { a.watchPasswords(ctx) })
	wg.Go(func() { a.awaitDrain(ctx) })
	o.Log.Info("plumb agent", "node", o.Node, "version", o.Version, "file", o.File, "dryRun", o.DryRun)
	err = a.loop.Run(ctx)
	a.service.stopping()
	cancel()
	wg.Wait()
	a.pumps.Wait()
	a.closeBGP()
	a.flows.batch() // of the last turn
	servers.Wait()
	o.Log.Info("plumb agent ends; the kernel's state stays in place")
	return err
}

// firstFile loads the file, or else the last good copy of it.
func (a *agent) firstFile(rl *reloader, good *Loaded) (*Loaded, FileStatus) {
	l, status, _ := rl.look()
	if l != nil {
		return l, status
	}
	if good != nil {
		a.Log.Warn("starting on the last good state", "hash", short(good.Hash))
		rl.current = good
		status.LastGood, status.Hash = true, good.Hash
	}
	return good, status
}

// firstFacts fills the sources before the first turn, and subscribes to the
// host's devices before it reads them.
func (a *agent) firstFacts(ctx context.Context, k *Kernel, first *Loaded) error {
	changed := func(list []state.Interface, gone []string) {
		a.loop.Do(func(*reconcile.Engine) { a.note(a.sources.changeInterfaces(list, gone)) })
	}
	again := func() {
		a.loop.Do(func(*reconcile.Engine) {
			list, err := k.Host.Interfaces(ctx)
			if err != nil {
				a.note(err)
				return
			}
			a.note(a.sources.setInterfaces(list))
		})
	}
	if err := k.Host.Watch(ctx, changed, again); err != nil {
		return fmt.Errorf("watch the host's devices: %w", err)
	}
	list, err := k.Host.Interfaces(ctx)
	if err != nil {
		return fmt.Errorf("read the host's devices: %w", err)
	}
	if err := a.sources.setInterfaces(list); err != nil {
		return err
	}
	if err := a.watchHostRoutes(ctx, k); err != nil {
		return err
	}
	if first != nil {
		a.loop.Resync = first.File.Settings.ResyncInterval
		if err := a.sources.setFile(first.File); err != nil {
			return err
		}
		a.withoutBGP(a.sources.engine, first.File)
	} else {
		// Without a state there is nothing to compare with: change nothing.
		a.sources.engine.Hold(holdNoFile, func(state.Object) bool { return true })
	}
	a.sources.engine.Hold(holdEndpoints, isEndpointRoute)
	a.sources.engine.Linger(pluginTime, toHostEnd)
	a.readEndpoints()
	return nil
}

// keep writes down what a crash must not lose: which table is used, and the file.
func (a *agent) keep(l *Loaded) {
	if l == nil {
		return
	}
	if err := errors.Join(noteTable(a.StateDir, l), saveLastGood(a.StateDir, l)); err != nil {
		a.Log.Warn("cannot keep a copy of the state file", "err", err)
	}
}

// reload is called on the file watcher's goroutine.
func (a *agent) reload(rl *reloader, k *Kernel) {
	l, status, news := rl.look()
	if !news {
		return
	}
	if status.Valid || status.LastGood {
		if old := a.file.Load(); status.LoadedAt.IsZero() {
			status.LoadedAt = old.LoadedAt
		}
	}
	a.metrics.loaded(status.Valid)
	if l == nil {
		a.file.Store(&status)
		a.loop.Do(func(*reconcile.Engine) {})
		return
	}
	a.keep(l)
	a.service.reloading()
	a.loop.Do(func(e *reconcile.Engine) {
		a.service.reloaded = true
		if k.Routes.AddTable(l.File.Settings.RouteTable) {
			a.loop.ReadAgain(state.KindRoute)
		}
		a.sources.bgp.passwords = a.lookAtPasswords(l.File)
		a.note(a.sources.setFile(l.File))
		a.withoutBGP(e, l.File)
		a.loop.Resync = l.File.Settings.ResyncInterval
		e.Release(holdNoFile)
		a.file.Store(&status)
	})
}

// after has f run on the loop's goroutine after a time.
func (a *agent) after(d time.Duration, f func() error) {
	time.AfterFunc(d, func() { a.loop.Do(func(*reconcile.Engine) { a.note(f()) }) })
}

// note logs an error of the agent's own making; there should be none.
func (a *agent) note(err error) {
	if err != nil {
		a.Log.Error("cannot render", "err", err)
	}
}

// protect keeps what the agent does not decide over: host ends are deleted with
// their endpoints, by who made them.
func protect(e *reconcile.Engine) {
	e.Keep(func(o state.Object) bool {
		link, isLink := o.(state.Link)
		return isLink && render.IsHostEnd(link.Name)
	})
}
