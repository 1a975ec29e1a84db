package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// Holds: what is not deleted until its source was read.
const (
	holdNoFile    = "no valid state file yet"
	holdEndpoints = "endpoint records not read yet"
)

func isEndpointRoute(o state.Object) bool {
	r, ok := o.(state.Route)
	return ok && r.Protocol == state.ProtoPlumb && r.Type == state.Unicast && !r.Gateway.IsValid() && r.Dst.IsSingleIP()
}

// pluginTime is for how long a route to a host end may be unwanted before it is
// deleted. The CNI plugin, which adds it and the endpoint's record, is done with
// the other half of that within some milliseconds, at ADD and at DEL.
const pluginTime = 500 * time.Millisecond

// toHostEnd says whether an object is a route that the CNI plugin may have made.
func toHostEnd(o state.Object) bool {
	r, ok := o.(state.Route)
	return ok && isEndpointRoute(r) && render.IsHostEnd(r.Dev)
}

// endpointFiles reads the records whose files events named, or all of them.
func (a *agent) endpointFiles(names []string) {
	store := Endpoints(a.StateDir)
	var changed []state.Endpoint
	var gone []string
	for _, name := range names {
		id, ok := store.ID(name)
		if !ok {
			continue // a temporary file, or the directory itself: its own event follows
		}
		e, err := store.Get(id)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			gone = append(gone, id)
		case err != nil:
			names = nil // all of them, which says what is wrong
		default:
			changed = append(changed, e)
		}
	}
	if names == nil || len(*a.records.Load()) > 0 || slices.Contains(names, store.Dir) {
		a.readEndpoints()
		return
	}
	if len(changed)+len(gone) == 0 {
		return
	}
	a.loop.Do(func(*reconcile.Engine) {
		for _, e := range changed {
			a.note(a.sources.setEndpoint(e, endpointOrigin(e), rankEndpoint))
		}
		for _, id := range gone {
			a.note(a.sources.removeEndpoint(id, rankEndpoint))
		}
	})
}

func endpointOrigin(e state.Endpoint) string { return "endpoint " + e.Name }

// readEndpoints reads all records. One that cannot be read may be any endpoint's,
// so then none is taken for gone.
func (a *agent) readEndpoints() {
	store := Endpoints(a.StateDir)
	list, errs := store.List()
	if _, err := os.Stat(store.Dir); err == nil {
		a.hadRecords.Store(true)
	} else if a.hadRecords.Load() && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("endpoint records: the directory vanished: %w", err))
	}
	texts := make([]string, 0, len(errs))
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	said := a.records.Swap(&texts)
	for _, text := range texts {
		if said == nil || !slices.Contains(*said, text) {
			a.Log.Error("endpoint record cannot be read; no endpoint is taken away until it can", "err", text)
		}
	}
	a.loop.Do(func(e *reconcile.Engine) {
		if len(errs) == 0 {
			a.note(a.sources.setEndpoints(list))
			e.Release(holdEndpoints)
			return
		}
		for _, r := range list {
			a.note(a.sources.setEndpoint(r, endpointOrigin(r), rankEndpoint))
		}
	})
}
