package reconcile

import (
	"slices"
	"testing"

	"github.com/plumbnet/plumb/state"
)

// What guards a tunnel is there before the device is up, and until it is gone; a pod's
// device, which goes with its route, changes nothing in that.
func TestGuardsAreThereAsLongAsTheirTunnels(t *testing.T) {
	var order []string
	links, routesOf := newPaper[state.Link](), newPaper(rt("10.0.0.9/32", "gone"))
	filter := newPaper[state.Object]()
	links.refuse = func(c state.Change[state.Link]) error {
		order = append(order, c.Action.String()+" "+c.Object().Name)
		return nil
	}
	routesOf.refuse = func(c state.Change[state.Route]) error {
		order = append(order, c.Action.String()+" route")
		return nil
	}
	filter.refuse = func(c state.Change[state.Object]) error {
		order = append(order, c.Action.String()+" "+string(c.Object().Key().Kind))
		return nil
	}
	e := NewEngine(routes(routesOf), KindOf(filter, true, state.KindTable, state.KindChain, state.KindRule), KindOf(links, false, state.KindLink))
	table, tunnel, pod := state.Table{}, state.Link{Name: state.VXLANDevice, Up: true}, state.Link{Name: "plb1", Up: true}
	guard := state.Chain{Name: "input", Type: "filter", Hook: "input", Policy: "accept"}
	read(t, e)
	for _, step := range []struct {
		what    string
		want    []string
		objects []state.Object
	}{
		{
			what: "a tunnel comes", objects: []state.Object{table, guard, tunnel, pod, rt("10.0.0.1/32", "plb1")},
			want: []string{"+ table", "+ chain", "+ plb1", "+ plumb-vxlan", "+ route", "- route"},
		},
		{
			what: "a pod goes", objects: []state.Object{table, tunnel},
			want: []string{"- chain", "- route", "- plb1"},
		},
		{what: "its guard is back", objects: []state.Object{table, guard, tunnel}, want: []string{"+ chain"}},
		{
			what: "the tunnel goes", objects: []state.Object{table, rt("10.0.0.2/32", "eth0")},
			want: []string{"+ route", "- plumb-vxlan", "- chain"},
		},
	} {
		order = nil
		set(t, e, node, step.objects...)
		turn(t, e)
		if !slices.Equal(order, step.want) {
			t.Errorf("%s: %q, want %q", step.what, order, step.want)
		}
	}
}
