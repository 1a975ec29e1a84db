package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
)

// BGPStatus is the agent's view of BGP.
type BGPStatus struct {
	ASN      uint32     `json:"asn"`
	RouterID netip.Addr `json:"routerID"`
	// Settled says that no restart is in progress.
	Settled  bool          `json:"settled"`
	Drained  bool          `json:"drained,omitempty"`
	Learned  int           `json:"learned"` // prefixes with a best path from a peer
	Sessions []bgp.Session `json:"sessions"`
}

// bgpStatus gives nil where the node speaks no BGP. Sessions are asked for beside
// the loop.
func (a *agent) bgpStatus(ctx context.Context) (*BGPStatus, error) {
	var s *BGPStatus
	var unmade []bgp.Session
	if err := a.loop.Ask(ctx, func(*reconcile.Engine) {
		b := &a.sources.bgp
		if b.speaker.ASN != 0 {
			s = &BGPStatus{ASN: b.speaker.ASN, RouterID: b.speaker.RouterID, Drained: b.drained, Learned: len(b.learned.at)}
			unmade = a.sources.unmade()
		}
	}); err != nil || s == nil {
		return nil, err
	}
	s.Settled, s.Sessions = a.settled.Load(), []bgp.Session{}
	if sp := a.speaker.open.Load(); sp != nil && !s.Drained {
		s.Sessions = sp.Sessions()
	}
	if len(unmade) > 0 {
		s.Sessions = append(s.Sessions, unmade...)
		slices.SortStableFunc(s.Sessions, func(a, b bgp.Session) int { return strings.Compare(a.Name, b.Name) })
	}
	return s, nil
}

// unmade gives the sessions of the file that wait for their passwords, with the reason.
func (s *sources) unmade() []bgp.Session {
	if !s.speaks() {
		return nil
	}
	var out []bgp.Session
	for _, p := range render.WithoutPassword(s.file, s.node, s.bgp.passwords) {
		e := bgp.Session{
			Name: p.Name, Address: p.Address, Prefix: p.Prefix, ASN: p.ASN, State: "idle",
			LastError: "it is not made: " + s.bgp.passwords[p.PasswordFile].Warning,
		}
		if p.IPv4 {
			e.Families = append(e.Families, bgp.SessionFamily{Family: "ipv4"})
		}
		if p.IPv6 {
			e.Families = append(e.Families, bgp.SessionFamily{Family: "ipv6"})
		}
		out = append(out, e)
	}
	return out
}

// RIBRoute is a prefix of the RIB, and what became of it in the kernel.
type RIBRoute struct {
	bgp.Destination
	Installed bool   `json:"installed"`
	WhyNot    string `json:"whyNot,omitempty"`
}

// ownRoute is why a prefix that this node originates is no learned route.
const ownRoute = "originated here"

// chunkRIB is how many prefixes are looked up in one visit to the loop.
const chunkRIB = 4096

// rib calls yield with the routes within p, or with all.
func (a *agent) rib(ctx context.Context, p netip.Prefix, yield func(RIBRoute) error) error {
	sp := a.speaker.open.Load()
	if sp == nil {
		return errNoBGP
	}
	var list []RIBRoute
	var failed error
	flush := func() {
		if failed != nil || len(list) == 0 {
			return
		}
		failed = a.loop.Ask(ctx, func(*reconcile.Engine) {
			for i := range list {
				a.explain(&list[i])
			}
		})
		for _, r := range list {
			if failed == nil {
				failed = yield(r)
			}
		}
		list = list[:0]
	}
	err := sp.RIB(ctx, p, func(d bgp.Destination) {
		if list = append(list, RIBRoute{Destination: d}); len(list) == chunkRIB {
			flush()
		}
	})
	flush()
	if err == nil {
		err = failed
	}
	return err
}

// ribFor gives the route by which an address is reached, if there is one.
func (a *agent) ribFor(ctx context.Context, address netip.Addr) ([]RIBRoute, error) {
	list := []RIBRoute{}
	sp := a.speaker.open.Load()
	if sp == nil {
		return nil, errNoBGP
	}
	d, ok, err := sp.RIBFor(ctx, address)
	if err != nil || !ok {
		return list, err
	}
	list = append(list, RIBRoute{Destination: d})
	return list, a.loop.Ask(ctx, func(*reconcile.Engine) { a.explain(&list[0]) })
}

// explain is called on the loop's goroutine.
func (a *agent) explain(r *RIBRoute) {
	if len(r.Paths) > 0 && !r.Paths[0].Peer.IsValid() {
		r.WhyNot = ownRoute
		return
	}
	r.Installed, r.WhyNot = a.sources.bgp.learned.standing(r.Prefix)
}

// serveBGP adds what only the local API has.
func (a *agent) serveBGP(mux *http.ServeMux) {
	reply := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /bgp", func(w http.ResponseWriter, r *http.Request) {
		s, err := a.bgpState(r.Context())
		reply(w, s, err)
	})
	mux.HandleFunc("GET /bgp/peers", func(w http.ResponseWriter, r *http.Request) {
		s, err := a.bgpStatus(r.Context())
		if err == nil && s == nil {
			err = errNoBGP
		}
		reply(w, s, err)
	})
	mux.HandleFunc("GET /bgp/routes", func(w http.ResponseWriter, r *http.Request) {
		var p netip.Prefix
		if text := r.URL.Query().Get("prefix"); text != "" {
			var err error
			if p, err = netip.ParsePrefix(text); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		if text := r.URL.Query().Get("for"); text != "" {
			address, err := netip.ParseAddr(text)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			list, err := a.ribFor(r.Context(), address)
			reply(w, list, err)
			return
		}
		list := []RIBRoute{}
		err := a.rib(r.Context(), p, func(r RIBRoute) error { list = append(list, r); return nil })
		reply(w, list, err)
	})
	mux.HandleFunc("POST /drain", func(w http.ResponseWriter, r *http.Request) {
		if err := a.drain(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "drained")
	})
}

// drainWait is how long the peers get to turn to other ways, before the sessions end.
const drainWait = 2 * time.Second

// drain withdraws all that this node announced, ends the sessions, and leaves the
// kernel's routes as they are: for maintenance. They come back with the agent's next
// start.
func (a *agent) drain(ctx context.Context) error {
	a.draining.Lock()
	defer a.draining.Unlock()
	sp := a.speaker.open.Load()
	if sp == nil {
		return errNoBGP
	}
	already := false
	if err := a.loop.Ask(ctx, func(e *reconcile.Engine) {
		already = a.sources.bgp.drained
		a.sources.bgp.drained = true // nothing that is learned or lost from now on counts
		e.Hold(holdDrained, isLearned)
	}); err != nil || already {
		return err
	}
	a.Log.Info("BGP: withdrawing everything, for maintenance")
	// To the end, whether or not who asked for it still listens.
	err := sp.Drain(context.WithoutCancel(ctx), "maintenance", drainWait)
	a.loop.Do(func(*reconcile.Engine) {
		a.note(a.sources.renderBGP())
		a.note(a.sources.renderEndpoints())
	})
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	a.Log.Info("BGP: drained; sessions come back when the agent is started again")
	return nil
}

// holdDrained is the hold on learned routes while sessions are down for maintenance.
const holdDrained = "drained"

// awaitDrain drains when it is told by a signal, until ctx ends.
func (a *agent) awaitDrain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.Drain:
			if err := a.drain(ctx); err != nil {
				a.Log.Error("cannot drain", "err", err)
			}
		}
	}
}
