package bgp_test

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/state"
)

// node is a speaker under test, with what its batches have told so far.
type node struct {
	*bgp.Speaker
	t    testing.TB
	have state.Snapshot
	log  *lines

	mu      sync.Mutex
	routes  map[netip.Prefix][]bgp.Path
	gone    map[netip.Prefix]int
	settled bool
}

// lines is a log that can be looked at.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) has(s string) bool { return strings.Contains(l.String(), s) }

func open(t testing.TB, o bgp.Options) *node {
	t.Helper()
	n := &node{
		t: t, have: state.Snapshot{}, log: &lines{},
		routes: map[netip.Prefix][]bgp.Path{}, gone: map[netip.Prefix]int{},
	}
	o.Log = slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if n.Speaker, err = bgp.Open(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		n.Close()
		if t.Failed() {
			t.Logf("the speaker's log:\n%s", n.log)
		}
	})
	go n.follow(ctx)
	return n
}

func (n *node) follow(ctx context.Context) {
	for {
		b, err := n.Next(ctx)
		if err != nil {
			return
		}
		n.mu.Lock()
		for _, u := range b.Updates {
			if len(u.Paths) == 0 {
				if _, had := n.routes[u.Prefix]; had {
					n.gone[u.Prefix]++
				}
				delete(n.routes, u.Prefix)
			} else {
				n.routes[u.Prefix] = u.Paths
			}
		}
		n.settled = b.Settled
		n.mu.Unlock()
	}
}

// want makes the speaker have these objects, as the engine would.
func (n *node) want(objects ...state.Object) {
	n.t.Helper()
	if err := n.try(objects...); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) try(objects ...state.Object) error {
	n.t.Helper()
	want := state.Snapshot{}
	want.Put(objects...)
	var changes []state.Change[state.Object]
	for k, o := range want {
		switch old := n.have[k]; {
		case old == nil:
			changes = append(changes, state.Change[state.Object]{Action: state.Add, After: o})
		case old != o:
			changes = append(changes, state.Change[state.Object]{Action: state.Modify, Before: old, After: o})
		}
	}
	for k, o := range n.have {
		if want[k] == nil {
			changes = append(changes, state.Change[state.Object]{Action: state.Delete, Before: o})
		}
	}
	for _, err := range n.Apply(context.Background(), changes) {
		if err != nil {
			return err
		}
	}
	n.have = state.Snapshot{}
	if err := n.Read(context.Background(), func(o state.Object) { n.have.Put(o) }); err != nil {
		return err
	}
	if !maps.Equal(n.have, want) {
		n.t.Fatalf("applied\n%v\nand read\n%v", want.Sorted(), n.have.Sorted())
	}
	return nil
}

// route gives the next hops of a learned prefix.
func (n *node) route(prefix string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, p := range n.routes[netip.MustParsePrefix(prefix)] {
		out = append(out, p.NextHop.String())
	}
	return out
}

// withdrawn says whether a prefix was ever learned and then gone.
func (n *node) withdrawn(p string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone[prefix(p)] > 0
}

func (n *node) isSettled() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.settled
}

func (n *node) learns(prefix string, hops ...string) {
	n.t.Helper()
	bgptest.Eventually(n.t, prefix+" is learned via "+strings.Join(hops, ", "), func() bool {
		return strings.Join(n.route(prefix), " ") == strings.Join(hops, " ")
	}, n.log.String)
}

func (n *node) session(address string) bgp.Session {
	for _, s := range n.Sessions() {
		if s.Address.String() == address {
			return s
		}
	}
	return bgp.Session{}
}

func (n *node) up(address string) bool { return n.session(address).State == bgp.Established }

// established waits for the session: the first paths can be told before it is, for
// both come on ways of their own.
func (n *node) established(address string) bgp.Session {
	n.t.Helper()
	bgptest.Eventually(n.t, address+" is established", func() bool { return n.up(address) }, n.log.String)
	return n.session(address)
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func prefixes(list ...string) state.Prefixes {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, prefix(s))
	}
	return state.NewPrefixes(out...)
}

func rules(t testing.TB, name string, accept bool, text ...string) state.BGPFilter {
	t.Helper()
	r, err := state.Rules(strings.Join(text, "; ")).List()
	if err != nil {
		t.Fatal(err)
	}
	return state.BGPFilter{Name: name, Rules: state.NewRules(r), Accept: accept}
}

// apply adds the objects to a speaker that has none.
func apply(t testing.TB, s *bgp.Speaker, objects ...state.Object) {
	t.Helper()
	want := state.Snapshot{}
	want.Put(objects...)
	var changes []state.Change[state.Object]
	for _, o := range want.Sorted() {
		changes = append(changes, state.Change[state.Object]{Action: state.Add, After: o})
	}
	for _, err := range s.Apply(context.Background(), changes) {
		if err != nil {
			t.Fatal(err)
		}
	}
}
