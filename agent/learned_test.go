package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// onPaper is a learned with an engine on paper, and a host with two links.
func onPaper(t *testing.T, more ...state.Route) (*learned, *reconcile.Engine) {
	t.Helper()
	e := reconcile.NewEngine(paperKinds()...)
	l := newLearned(e)
	reconfigure(t, l, more...)
	return l, e
}

func reconfigure(t *testing.T, l *learned, more ...state.Route) {
	t.Helper()
	f := &desired.File{BGP: &desired.BGP{MaxPaths: 8}, Settings: desired.Settings{RouteTable: state.TableMain}}
	link := func(prefix, dev string) state.Route {
		return state.NewRoute(netip.MustParsePrefix(prefix), state.TableMain, 2, state.NextHop{Dev: dev})
	}
	routes := append(slices.Clone(more), link("192.0.2.0/24", "eth0"), link("198.51.100.0/24", "eth1"))
	if err := l.configure(render.NewLearned(f, render.NewHostRoutes(routes, render.Host{}), nil), netip.Addr.String); err != nil {
		t.Fatal(err)
	}
}

// update is "PREFIX NEXTHOP…": the next hops are the peers.
func update(text string) bgp.Update {
	f := strings.Fields(text)
	u := bgp.Update{Prefix: netip.MustParsePrefix(f[0])}
	for _, a := range f[1:] {
		hop := netip.MustParseAddr(a)
		u.Paths = append(u.Paths, bgp.Path{NextHop: hop, Peer: hop})
	}
	return u
}

func take(t *testing.T, l *learned, updates ...string) {
	t.Helper()
	var list []bgp.Update
	for _, u := range updates {
		list = append(list, update(u))
	}
	if err := l.take(list); err != nil {
		t.Fatal(err)
	}
}

// wanted are the learned routes that the engine wants, without what is the same of all.
func wanted(e *reconcile.Engine) string {
	var out []string
	for _, o := range e.Want().Sorted() {
		if isLearned(o) {
			out = append(out, strings.TrimSuffix(strings.TrimPrefix(state.String(o), "route "), " proto plumb-bgp"))
		}
	}
	return strings.Join(out, "; ")
}

func TestLearnedFollowsUpdatesAndRoutes(t *testing.T) {
	l, e := onPaper(t)
	is := func(what, want string) {
		t.Helper()
		if got := wanted(e); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
		}
	}
	take(t, l, "10.0.1.0/24 192.0.2.2", "10.0.2.0/24 192.0.2.2", "10.0.3.0/24 203.0.113.9")
	is("one is out of reach", "10.0.1.0/24 via 192.0.2.2 dev eth0; 10.0.2.0/24 via 192.0.2.2 dev eth0")
	if len(l.vias) != 2 {
		t.Errorf("prefixes of the same paths do not share them: %d", len(l.vias))
	}
	if p := l.pending(); len(p) != 1 || p[0].Endpoint != "route 10.0.3.0/24" || p[0].Origin != "bgp 203.0.113.9" {
		t.Errorf("pending: %v", p)
	}
	take(t, l, "10.0.1.0/24 192.0.2.2 198.51.100.2", "10.0.2.0/24")
	is("two ways, and one withdrawn", "10.0.1.0/24 nexthop via 192.0.2.2 dev eth0 nexthop via 198.51.100.2 dev eth1")
	if len(l.vias) != 2 || len(l.at) != 2 {
		t.Errorf("what nobody uses is kept: %d, %d", len(l.vias), len(l.at))
	}
	static := state.NewRoute(netip.MustParsePrefix("203.0.113.0/24"), state.TableMain, 4, state.NextHop{Gateway: netip.MustParseAddr("192.0.2.7"), Dev: "eth0"})
	if !l.concerns([]netip.Prefix{static.Dst}) || l.concerns([]netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}) {
		t.Error("which routes of others count")
	}
	reconfigure(t, l, static)
	is("now it is reached", "10.0.1.0/24 nexthop via 192.0.2.2 dev eth0 nexthop via 198.51.100.2 dev eth1; 10.0.3.0/24 via 192.0.2.7 dev eth0")
	foreign := state.NewRoute(netip.MustParsePrefix("10.0.1.0/24"), state.TableMain, 4, state.NextHop{Dev: "eth1"})
	foreign.Metric = 77
	reconfigure(t, l, static, foreign)
	is("a prefix is taken", "10.0.3.0/24 via 192.0.2.7 dev eth0")
	if c := l.conflicts(); len(c) != 1 || c[0].Object != "route 10.0.1.0/24" || !strings.Contains(c[0].Error, "not plumb's: 10.0.1.0/24 dev eth1 scope link proto static metric 77") {
		t.Errorf("conflicts: %v", c)
	}
	if installed, why := l.standing(netip.MustParsePrefix("10.0.1.0/24")); installed || !strings.Contains(why, "in the way") {
		t.Errorf("standing: %v %s", installed, why)
	}
	take(t, l, "10.0.1.0/24")
	if c := l.conflicts(); len(c) != 0 {
		t.Errorf("conflicts of what was withdrawn: %v", c)
	}
	reconfigure(t, l)
	is("without the static route", "")
	if err := l.configure(nil, nil); err != nil {
		t.Fatal(err)
	}
	take(t, l, "10.0.1.0/24 192.0.2.2") // late, of a speaker that is on its way out
	is("without BGP", "")
}

// After a restart routes of before stay as they are until all have spoken.
func TestLearnedHoldsWhatWasBefore(t *testing.T) {
	l, e := onPaper(t)
	l.holding = true
	hop := func(a, dev string) state.NextHop { return state.NextHop{Gateway: netip.MustParseAddr(a), Dev: dev} }
	before := state.NewRoute(netip.MustParsePrefix("10.0.1.0/24"), state.TableMain, state.ProtoBGP, hop("192.0.2.2", "eth0"), hop("198.51.100.2", "eth1"))
	e.Observe([]state.Event[state.Object]{{Key: before.Key(), Object: before}})
	take(t, l, "10.0.1.0/24 192.0.2.2", "10.0.2.0/24 192.0.2.2")
	if got := wanted(e); got != "10.0.2.0/24 via 192.0.2.2 dev eth0" {
		t.Errorf("one peer's word changes the route: %s", got)
	}
	if installed, why := l.standing(before.Dst); !installed || !strings.Contains(why, "as before the restart") {
		t.Errorf("standing: %v, %s", installed, why)
	}
	take(t, l, "10.0.1.0/24 192.0.2.2 198.51.100.2")
	if got := wanted(e); !strings.HasPrefix(got, "10.0.1.0/24 nexthop") {
		t.Errorf("what is as before is not claimed: %s", got)
	}
	take(t, l, "10.0.1.0/24 198.51.100.2")
	if err := l.settle(); err != nil {
		t.Fatal(err)
	}
	if got := wanted(e); got != "10.0.1.0/24 via 198.51.100.2 dev eth1; 10.0.2.0/24 via 192.0.2.2 dev eth0" {
		t.Errorf("after the restart: %s", got)
	}
}

// One change among many prefixes looks at that one alone.
func TestOneFlapAmongManyCostsNoMore(t *testing.T) {
	l, e := onPaper(t)
	many := make([]string, 0, 20_000)
	for i := range cap(many) {
		many = append(many, fmt.Sprintf("10.%d.%d.0/24 192.0.2.2", 1+i>>8, i&255))
	}
	take(t, l, many...)
	flap := func(l *learned) float64 {
		return testing.AllocsPerRun(20, func() { take(t, l, "10.1.1.0/24"); take(t, l, "10.1.1.0/24 192.0.2.2") })
	}
	small, _ := onPaper(t)
	take(t, small, many[:10]...)
	if a, b := flap(l), flap(small); a > 2*b+10 {
		t.Errorf("%v allocations among many, %v among few", a, b)
	}
	if n := len(slices.Collect(func(yield func(state.Object) bool) {
		for _, o := range e.Want() {
			if !yield(o) {
				return
			}
		}
	})); n != len(many) {
		t.Errorf("%d routes of %d prefixes", n, len(many))
	}
}
