package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// learned holds what was learned over BGP and gives the engine the routes of it.
// Prefixes that came by the same paths share them and their resolution: so many
// prefixes take little memory, a change of one costs no more among many, and when the
// way to a next hop changes, it is resolved once. It belongs to the loop's goroutine.
type learned struct {
	engine  *reconcile.Engine
	render  *render.Learned // nil: there is no file, or no bgp section in it
	name    func(peer netip.Addr) string
	at      map[netip.Prefix]*via
	vias    map[string]*via
	taken   map[netip.Prefix]string // by a route of another owner
	holding bool                    // routes of an earlier run stay as they are
	key     []byte
	buf     []reconcile.Changed // of take
	last    struct {            // what via gave, for the next prefix is mostly of the same paths
		via   *via
		class int
		paths []bgp.Path
	}
}

// via is a set of paths, and where they lead.
type via struct {
	key    string
	paths  []bgp.Path
	hops   []netip.Addr
	origin string
	way    render.Way
	users  int
	sample netip.Prefix // one of its prefixes, to be shown and resolved for
}

func newLearned(e *reconcile.Engine) *learned {
	return &learned{
		engine: e, name: netip.Addr.String, at: map[netip.Prefix]*via{}, vias: map[string]*via{},
		taken: map[netip.Prefix]string{},
	}
}

var learnedSource = reconcile.Source{Rank: rankLearned, ID: "learned"}

func isLearned(o state.Object) bool {
	r, ok := o.(state.Route)
	return ok && r.Protocol == state.ProtoBGP
}

// take takes updates of the speaker.
func (l *learned) take(updates []bgp.Update) error {
	if l.render == nil {
		return nil // they are of a speaker that is on its way out
	}
	b := batch{changes: slices.Grow(l.buf, len(updates))}
	for _, u := range updates {
		before := l.at[u.Prefix]
		if len(u.Paths) == 0 {
			delete(l.at, u.Prefix)
			delete(l.taken, u.Prefix)
			if before != nil {
				b.drop(l.route(u.Prefix))
			}
		} else {
			v := l.via(u)
			v.users++
			l.at[u.Prefix] = v
			l.put(&b, u.Prefix, v)
		}
		if before != nil {
			l.release(before)
		}
	}
	err := b.apply(l.engine)
	clear(b.changes)
	if cap(b.changes) <= keptChanges {
		l.buf = b.changes[:0]
	}
	return err
}

// keptChanges is how large a list is kept for the next.
const keptChanges = 1 << 15

// batch gathers what the engine is told at once.
type batch struct {
	changes []reconcile.Changed
}

func (b *batch) drop(r state.Route) {
	b.changes = append(b.changes, reconcile.Changed{Dropped: r.Key()})
}

func (b *batch) apply(e *reconcile.Engine) error {
	if len(b.changes) == 0 {
		return nil
	}
	return e.Change(learnedSource, b.changes)
}

// wanted is what the batch wants, where it is all that there is.
func (b *batch) wanted() []render.Wanted {
	out := make([]render.Wanted, 0, len(b.changes))
	for _, c := range b.changes {
		if c.Object != nil {
			out = append(out, c.Wanted)
		}
	}
	return out
}

// route is one to the prefix, for its key.
func (l *learned) route(p netip.Prefix) state.Route {
	return state.NewRoute(p, l.render.Table, state.ProtoBGP)
}

// put says what is wanted for a prefix.
func (l *learned) put(b *batch, p netip.Prefix, v *via) {
	if with, taken := l.render.Taken(p); taken {
		l.taken[p] = with
		b.drop(l.route(p))
		return
	}
	delete(l.taken, p)
	if !v.way.Reached {
		b.drop(l.route(p))
		return
	}
	r := v.way.Route(p)
	if l.holding {
		// RFC 4724, 4.1: after a restart the routes of before stay until all peers have
		// spoken. What one says may be half of what was.
		if _, have := l.engine.At(r.Key()); have != nil && have != state.Object(r) && isLearned(have) {
			return
		}
	}
	b.changes = append(b.changes, reconcile.Changed{Wanted: render.Wanted{Object: r, Origin: v.origin}})
}

// via finds the paths of an update, or makes them known.
func (l *learned) via(u bgp.Update) *via {
	class := l.render.Class(u.Prefix)
	if last := &l.last; last.via != nil && last.class == class && &last.paths[0] == &u.Paths[0] && len(last.paths) == len(u.Paths) {
		return last.via
	}
	v := l.find(class, u)
	l.last.via, l.last.class, l.last.paths = v, class, u.Paths
	return v
}

func (l *learned) find(class int, u bgp.Update) *via {
	k := l.key[:0]
	k = append(k, byte(class), byte(class>>8))
	for _, p := range u.Paths {
		k = p.NextHop.AppendTo(k)
		k = append(k, ' ')
		k = p.Peer.AppendTo(k)
		k = append(k, ' ')
	}
	l.key = k
	if v := l.vias[string(k)]; v != nil {
		return v
	}
	v := &via{key: string(k), paths: slices.Clone(u.Paths), sample: u.Prefix}
	for _, p := range u.Paths {
		v.hops = append(v.hops, p.NextHop)
	}
	l.vias[v.key] = v
	l.nameOrigin(v)
	v.way = l.render.Way(u.Prefix, v.hops)
	return v
}

func (l *learned) nameOrigin(v *via) {
	names := make([]string, 0, len(v.paths))
	for _, p := range v.paths {
		names = append(names, l.name(p.Peer))
	}
	slices.Sort(names)
	v.origin = "bgp " + strings.Join(slices.Compact(names), ", ")
}

func (l *learned) release(v *via) {
	if v.users--; v.users == 0 {
		delete(l.vias, v.key)
		if l.last.via == v {
			l.last.via = nil
		}
	}
}

// configure takes a new rendering: the file or the host's routes changed. nil: there
// is no BGP any more, and what was learned goes.
func (l *learned) configure(r *render.Learned, name func(netip.Addr) string) error {
	before := l.render
	l.render, l.name = r, name
	if r == nil {
		clear(l.at)
		clear(l.vias)
		clear(l.taken)
		l.last.via = nil
		return l.engine.SetSource(learnedSource, nil)
	}
	if before == nil {
		return nil
	}
	if before.Table != r.Table || !slices.Equal(before.Pools, r.Pools) {
		return l.again() // other keys, other classes
	}
	changed := map[*via]bool{}
	for _, v := range l.vias {
		way, origin := v.way, v.origin
		l.nameOrigin(v)
		v.way = r.Way(v.sample, v.hops)
		changed[v] = way != v.way || origin != v.origin
	}
	var b batch
	for p, v := range l.at {
		_, was := l.taken[p]
		if _, is := r.Taken(p); changed[v] || was || is {
			l.put(&b, p, v)
		}
	}
	return b.apply(l.engine)
}

// again renders everything anew.
func (l *learned) again() error {
	all := l.at
	l.at, l.vias = make(map[netip.Prefix]*via, len(all)), map[string]*via{}
	l.last.via = nil
	clear(l.taken)
	var b batch
	for p, v := range all {
		now := l.via(bgp.Update{Prefix: p, Paths: v.paths})
		now.users++
		l.at[p] = now
		l.put(&b, p, now)
	}
	return l.engine.SetSource(learnedSource, b.wanted())
}

// settle ends the hold after a restart: what was learned by now is all there is.
func (l *learned) settle() error {
	if !l.holding {
		return nil
	}
	l.holding = false
	var b batch
	for p, v := range l.at {
		l.put(&b, p, v)
	}
	return b.apply(l.engine)
}

// concerns says whether routes of others to these prefixes count: they are on the
// way to a next hop, or are what was learned.
func (l *learned) concerns(prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if l.at[p] != nil {
			return true
		}
		for _, v := range l.vias {
			if slices.ContainsFunc(v.hops, p.Contains) {
				return true
			}
		}
	}
	return false
}

// updates gives all that was learned, as the speaker told it.
func (l *learned) updates() []bgp.Update {
	out := make([]bgp.Update, 0, len(l.at))
	for p, v := range l.at {
		out = append(out, bgp.Update{Prefix: p, Paths: v.paths})
	}
	return out
}

// pending gives the next hops that are held back: a line for all prefixes of the
// same paths.
func (l *learned) pending() []Pending {
	var out []Pending
	for _, v := range l.vias {
		if v.way.Missing == "" {
			continue
		}
		sample := v.sample
		if l.at[sample] != v { // it went, and others have come
			for p, of := range l.at {
				if of == v {
					sample = p
					break
				}
			}
		}
		routes := "route " + sample.String()
		if v.users > 1 {
			routes = fmt.Sprintf("%d learned routes, such as %s", v.users, sample)
		}
		out = append(out, Pending{Kind: pendingLearned, Endpoint: routes, Origin: v.origin, Reason: v.way.Missing})
	}
	return out
}

// conflicts gives the prefixes that another owner's route has.
func (l *learned) conflicts() []Failing {
	out := make([]Failing, 0, len(l.taken))
	for p, with := range l.taken {
		key := l.route(p).Key()
		out = append(out, Failing{
			Object: key.String(), Origin: l.at[p].origin, Error: (&state.ConflictError{Key: key, With: with}).Error(),
		})
	}
	slices.SortFunc(out, func(a, b Failing) int { return strings.Compare(a.Object, b.Object) })
	return out
}

// into says whether a rule leads any learned route into one of the devices.
func (l *learned) into(devices map[string]bool, rule render.NextHopRule) bool {
	for _, v := range l.vias {
		for _, a := range v.hops {
			if hop, _, ok, err := rule(v.sample, a); ok && err == nil && devices[hop.Dev] {
				return true
			}
		}
	}
	return false
}

// standing says of a learned prefix whether its route is in the kernel, or why not.
func (l *learned) standing(p netip.Prefix) (installed bool, why string) {
	v := l.at[p]
	if v == nil {
		return false, "not learned"
	}
	if with, taken := l.taken[p]; taken {
		return false, "in the way, and not plumb's: " + with
	}
	if !v.way.Reached {
		return false, v.way.Missing
	}
	key := l.route(p).Key()
	want, have := l.engine.At(key)
	switch {
	case want != nil && !isLearned(want):
		return false, "shadowed by " + l.engine.Origin(key)
	case have != nil && have == want:
		return true, ""
	case l.holding && have != nil && isLearned(have):
		return true, "as before the restart, until all peers have sent their routes"
	}
	if err := l.engine.Failure(key); err != nil {
		return false, err.Error()
	}
	return false, "not made yet"
}
