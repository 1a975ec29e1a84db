package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// Cleanup removes all that plumb owns from the node, puts changed sysctls back to
// what they were, and clears the state directory. Host ends that the state file
// names were made by other hands, and stay; l may be nil.
func Cleanup(ctx context.Context, l *Loaded, node, stateDir string, dryRun bool) (reconcile.Plan, error) {
	if good, err := loadLastGood(stateDir, node); l == nil && err == nil {
		l = good
	}
	k, err := OpenKernel(stateDir, tablesOf(stateDir, l)...)
	if err != nil {
		return reconcile.Plan{}, err
	}
	defer k.Close()
	o := &Once{kernel: k, engine: k.Engine()}
	o.sources = newSources(o.engine, node)
	stays := handWired(l, node)
	o.engine.Keep(func(object state.Object) bool {
		link, ok := object.(state.Link)
		return ok && stays[link.Name]
	})
	var wanted []render.Wanted
	for _, s := range k.Originals.Restorations() {
		if dev := deviceOf(s.Path); render.IsHostEnd(dev) && !stays[dev] {
			continue // it goes with its device
		}
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

// handWired are the devices that the state file gives endpoints.
func handWired(l *Loaded, node string) map[string]bool {
	names := map[string]bool{}
	if l != nil {
		for _, e := range render.FileEndpoints(l.File, node) {
			names[e.Interface] = true
		}
	}
	return names
}

// deviceOf is the device that a parameter is of, as in net/ipv4/conf/DEV/proxy_arp.
func deviceOf(path string) string {
	if parts := strings.Split(path, "/"); len(parts) == 5 {
		return parts[3]
	}
	return ""
}

func clearStateDir(dir string) error {
	return errors.Join(
		os.RemoveAll(filepath.Join(dir, endpointsDir)),
		os.RemoveAll(filepath.Join(dir, desired.KeptName)),
		os.RemoveAll(filepath.Join(dir, originalsName)),
		os.RemoveAll(filepath.Join(dir, tablesName)),
		os.RemoveAll(filepath.Join(dir, passwordKey)),
		os.RemoveAll(filepath.Join(dir, bgpNeighbours)),
		os.RemoveAll(filepath.Join(dir, bgpSessions)),
	)
}
