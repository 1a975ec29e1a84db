package agent

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// moment is what a turn leaves behind: the device that the address's route is
// wanted on, and the one that it is on ("" for none); and what it did.
type moment struct {
	what        string
	want, there string
	from, to    string // a change of the route that the turn made
	drift       bool   // which put right what others had done
	read        bool   // everything was read before it
	changed     bool   // an endpoint with the address came or went
	left        bool   // what is expected
}

// What happens to one address, turn by turn, and with which turn it leaves.
func TestWhenAnAddressLeaves(t *testing.T) {
	const one, two = "plb1", "plb2"
	for _, story := range [][]moment{
		{
			{what: "wired", want: one, there: one, to: one},
			{what: "gone", from: one, changed: true, left: true},
			{what: "gone already", changed: true},
			{what: "wired again elsewhere", want: two, there: two, to: two},
		},
		{
			{what: "the agent starts, and it is there", want: one, there: one, read: true},
			{what: "compared in full", want: one, there: one, read: true},
			{what: "an endpoint in its shadow goes", want: one, there: one, changed: true},
			{what: "others led it elsewhere, and it is put back", want: one, there: one, from: two, to: one, drift: true},
			{what: "it moves", want: two, there: two, from: one, to: two, left: true},
		},
		{
			{what: "its endpoint went while no agent ran", from: one, read: true, left: true},
		},
		{
			{what: "there", want: one, there: one, read: true},
			{what: "its device vanished, and its endpoint waits", read: true},
			{what: "its device came back", want: one, there: one, to: one},
			{what: "its device vanished again"},
			{what: "its endpoint goes too", changed: true, left: true},
		},
		{
			{what: "the plugin made its route, then its record", want: one, there: one, changed: true},
			{what: "its device vanished"},
			{what: "its record too", changed: true, left: true},
		},
		{
			{what: "there", want: one, there: one, read: true},
			{what: "its device vanished, and who was in its shadow takes over", want: two, there: two, to: two, left: true},
		},
		{
			{what: "there", want: one, there: one, read: true},
			{what: "its deletion fails", there: one, changed: true},
			{what: "its deletion succeeds", from: one, left: true},
		},
		{
			{what: "there", want: one, there: one, read: true},
			{what: "replaced, and the route cannot be made yet", want: two, changed: true},
			{what: "made", want: two, there: two, to: two, left: true},
		},
	} {
		e, r := reconcile.NewEngine(paperKinds()...), newResidents()
		for _, m := range story {
			if left := m.turn(t, e, r); left != m.left {
				t.Errorf("%s: left: %v", m.what, left)
			}
		}
	}
}

func (m moment) turn(t *testing.T, e *reconcile.Engine, r *residents) (left bool) {
	t.Helper()
	a := netip.MustParseAddr("10.244.1.5")
	route := func(dev string) state.Object {
		if dev == "" {
			return nil
		}
		return state.NewRoute(netip.PrefixFrom(a, 32), state.TableMain, state.ProtoPlumb, state.NextHop{Dev: dev})
	}
	var wanted []render.Wanted
	if m.want != "" {
		wanted = append(wanted, render.Wanted{Object: route(m.want)})
	}
	if err := e.SetSource(reconcile.Source{ID: "test"}, wanted); err != nil {
		t.Fatal(err)
	}
	e.Observe([]state.Event[state.Object]{{Key: route("any").Key(), Object: route(m.there), Gone: m.there == ""}})
	if m.changed {
		r.endpointChanged(&endpointSource{Endpoint: state.Endpoint{Addresses: []netip.Addr{a}}})
	}
	turned := reconcile.Turned{Read: m.read}
	if m.from != "" || m.to != "" {
		c := state.Change[state.Object]{Action: state.Modify, Before: route(m.from), After: route(m.to)}
		if m.from == "" {
			c.Action = state.Add
		} else if m.to == "" {
			c.Action = state.Delete
		}
		turned.Done = []reconcile.Done{{Step: &reconcile.Step{Change: c}, Drift: m.drift}}
	}
	return slices.Contains(r.turned(e, turned, state.TableMain), a)
}

// A podCIDR of one address has its blackhole under the same key as the address's
// host route.
func TestABlackholeIsNoResident(t *testing.T) {
	e, r := reconcile.NewEngine(paperKinds()...), newResidents()
	if (moment{want: "plb1", there: "plb1", read: true}).turn(t, e, r) {
		t.Error("it is there")
	}
	hole := state.NewBlackhole(netip.MustParsePrefix("10.244.1.5/32"), state.TableMain, state.ProtoPlumb)
	if err := e.SetSource(reconcile.Source{ID: "test"}, []render.Wanted{{Object: hole}}); err != nil {
		t.Fatal(err)
	}
	e.Observe([]state.Event[state.Object]{{Key: hole.Key(), Object: hole}})
	r.endpointChanged(&endpointSource{Endpoint: state.Endpoint{Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.5")}}})
	if left := r.turned(e, reconcile.Turned{}, state.TableMain); len(left) != 1 {
		t.Error("where the blackhole stands now there was an endpoint:", left)
	}
}
