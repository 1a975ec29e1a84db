package reconcile

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
)

func rulesOf(chain string, exprs ...string) []state.Object {
	var out []state.Object
	for i, e := range exprs {
		out = append(out, state.Rule{Chain: chain, Pos: i, Expr: e})
	}
	return out
}

func snapshot(objects ...state.Object) state.Snapshot {
	s := state.Snapshot{}
	s.Put(objects...)
	return s
}

func via(dst, gateway, dev string) state.Route {
	return state.NewRoute(netip.MustParsePrefix(dst), state.TableMain, state.ProtoPlumb,
		state.NextHop{Gateway: netip.MustParseAddr(gateway), Dev: dev})
}

// TestDiffAsPrinted holds what people read: each case is what is wanted, what is
// there, and the plan's text.
func TestDiffAsPrinted(t *testing.T) {
	for _, c := range []struct {
		name       string
		want, have []state.Object
		text       string
	}{
		{name: "nothing differs", want: []state.Object{rt("10.0.0.1/32", "a")}, have: []state.Object{rt("10.0.0.1/32", "a")}},
		{
			name: "a next hop changes",
			want: []state.Object{via("10.244.2.0/24", "172.18.0.4", "eth0")},
			have: []state.Object{via("10.244.2.0/24", "172.18.0.9", "eth0")},
			text: `~ route 10.244.2.0/24 via 172.18.0.9 -> 172.18.0.4 dev eth0 proto plumb
0 to add, 1 to change, 0 to delete
`,
		},
		{
			name: "a gateway comes, a scope goes",
			want: []state.Object{via("10.244.2.0/24", "172.18.0.4", "eth0")},
			have: []state.Object{rt("10.244.2.0/24", "eth0")},
			text: `~ route 10.244.2.0/24 via none -> 172.18.0.4 dev eth0 scope link -> none proto plumb
0 to add, 1 to change, 0 to delete
`,
		},
		{
			name: "a route becomes a blackhole",
			want: []state.Object{state.NewBlackhole(netip.MustParsePrefix("10.244.2.0/24"), state.TableMain, state.ProtoPlumb)},
			have: []state.Object{rt("10.244.2.0/24", "eth0")},
			text: `~ route none -> blackhole 10.244.2.0/24 dev eth0 -> none scope link -> none proto plumb
0 to add, 1 to change, 0 to delete
`,
		},
		{
			name: "kinds in their order, deletions last and reversed, numbers by value",
			want: []state.Object{state.Table{}, rt("10.0.0.10/32", "a"), rt("10.0.0.9/32", "a"), state.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"}},
			have: []state.Object{rt("10.0.0.2/32", "a"), state.Set{Name: "old", Type: "ipv4_addr"}, state.Sysctl{Path: "net/ipv4/ip_forward", Value: "0"}},
			text: `~ sysctl net.ipv4.ip_forward = 0 -> 1
+ route 10.0.0.9/32 dev a scope link proto plumb
+ route 10.0.0.10/32 dev a scope link proto plumb
+ table inet plumb
- set inet plumb old { type ipv4_addr; flags interval; }
- route 10.0.0.2/32 dev a scope link proto plumb
3 to add, 1 to change, 2 to delete
`,
		},
		{
			name: "an inserted rule is one deletion",
			want: rulesOf("postrouting", "one", "two", "three"),
			have: rulesOf("postrouting", "counter accept", "one", "two", "three"),
			text: `- rule inet plumb postrouting index 0 counter accept
0 to add, 0 to change, 1 to delete
`,
		},
		{
			name: "a changed rule",
			want: rulesOf("postrouting", "one", "two", "three"),
			have: rulesOf("postrouting", "one", "2", "three"),
			text: `+ rule inet plumb postrouting index 1 two
- rule inet plumb postrouting index 1 2
1 to add, 0 to change, 1 to delete
`,
		},
		{
			name: "two rules changed places",
			want: rulesOf("postrouting", "one", "two", "three"),
			have: rulesOf("postrouting", "one", "three", "two"),
			text: `+ rule inet plumb postrouting index 1 two
- rule inet plumb postrouting index 2 two
1 to add, 0 to change, 1 to delete
`,
		},
		{
			name: "a flushed chain, and a foreign one",
			want: rulesOf("postrouting", "one", "two"),
			have: rulesOf("foreign", "x"),
			text: `+ rule inet plumb postrouting index 0 one
+ rule inet plumb postrouting index 1 two
- rule inet plumb foreign index 0 x
2 to add, 0 to change, 1 to delete
`,
		},
		{
			name: "a rule twice",
			want: rulesOf("postrouting", "one"),
			have: rulesOf("postrouting", "one", "one"),
			text: `- rule inet plumb postrouting index 1 one
0 to add, 0 to change, 1 to delete
`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Diff(snapshot(c.want...), snapshot(c.have...), nil).Text(nil)
			if got != c.text {
				t.Errorf("got\n%swant\n%s", got, c.text)
			}
		})
	}
}

func TestOriginsAndConflictsArePrinted(t *testing.T) {
	p := Diff(snapshot(rt("10.244.1.5/32", "plb3f2a91c07de")), nil, func(state.Key) string { return "endpoint default/web-1" })
	if got, want := p.Text(nil), "+ route 10.244.1.5/32 dev plb3f2a91c07de scope link proto plumb         endpoint default/web-1\n1 to add, 0 to change, 0 to delete\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	p.Steps[0].Conflict = "10.244.1.5 dev eth0 proto static"
	if got := p.Text(nil); !strings.Contains(got, "endpoint default/web-1  conflict, will not be made: 10.244.1.5 dev eth0 proto static\n") {
		t.Error(got)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var decoded struct {
		Steps []struct {
			Action, Kind, ID, Origin, Conflict string
			After                              struct{ Dst, Dev string }
		}
		Add, Change, Delete int
	}
	if err := json.Unmarshal(b, &decoded); err != nil {
		t.Fatal(err)
	}
	s := decoded.Steps[0]
	if s.Action != "add" || s.Kind != "route" || s.ID != "10.244.1.5/32" || s.After.Dev != "plb3f2a91c07de" || s.Conflict == "" || decoded.Add != 1 {
		t.Errorf("as JSON: %s", b)
	}
}

func TestColourIsOnTheLineAlone(t *testing.T) {
	p := Diff(snapshot(rt("10.0.0.1/32", "a")), nil, func(state.Key) string { return "plumb.yaml:3" })
	got := p.Text(func(_ state.Action, line string) string { return "<" + line + ">" })
	if want := "<+ route 10.0.0.1/32 dev a scope link proto plumb>                        plumb.yaml:3\n"; !strings.HasPrefix(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
