package render

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

var passwords = map[string]Password{
	"/etc/plumb/tor.password":     {ID: "0123456789ab"},
	"/etc/plumb/open.password":    {ID: "ba9876543210", Warning: "password file /etc/plumb/open.password can be read by others (mode 0644); chmod 600 it"},
	"/etc/plumb/missing.password": {Warning: "password file: open /etc/plumb/missing.password: no such file or directory"},
}

// TestBGPGolden holds what the files in testdata/bgp make of each of their nodes.
func TestBGPGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/bgp/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f := load(t, path)
			var b strings.Builder
			for _, n := range f.Nodes {
				fmt.Fprintf(&b, "# %s\n", n.Name)
				bgpOf(t, f, n.Name, &b)
				b.WriteByte('\n')
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", strings.TrimSuffix(b.String(), "\n"))
		})
	}
}

func bgpOf(t *testing.T, f *desired.File, node string, b *strings.Builder) {
	t.Helper()
	wanted, warnings, err := BGP(f, node, passwords)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		fmt.Fprintf(b, "warning: %s\n", w)
	}
	s := state.Snapshot{}
	origins := map[state.Key]string{}
	for _, w := range wanted {
		if s[w.Object.Key()] != nil {
			t.Errorf("%s is wanted twice", w.Object.Key())
		}
		s.Put(w.Object)
		origins[w.Object.Key()] = w.Origin
	}
	for _, o := range s.Sorted() {
		fmt.Fprintf(b, "%s    %s\n", state.String(o), origins[o.Key()])
	}
}

// Of every two nodes that have a session with each other, exactly one calls, both
// think of the same addresses, and both know the same families.
func TestSessionsOfTwoNodesFitTogether(t *testing.T) {
	for _, path := range []string{"testdata/bgp/mesh.yaml", "testdata/bgp/reflectors.yaml", "testdata/bgp/peers.yaml"} {
		f := load(t, path)
		ofNode := map[netip.Addr]*desired.Node{}
		for i := range f.Nodes {
			for _, a := range f.Nodes[i].Addresses {
				ofNode[a.Prefix.Addr()] = &f.Nodes[i]
			}
		}
		sessions := map[string]map[string]state.BGPPeer{}
		for _, n := range f.Nodes {
			wanted, _, err := BGP(f, n.Name, passwords)
			if err != nil {
				t.Fatal(err)
			}
			sessions[n.Name] = map[string]state.BGPPeer{}
			for _, w := range wanted {
				if p, ok := w.Object.(state.BGPPeer); ok && ofNode[p.Address] != nil {
					sessions[n.Name][ofNode[p.Address].Name] = p
				}
			}
		}
		pairs := 0
		for a, peers := range sessions {
			for b, p := range peers {
				back, ok := sessions[b][a]
				if !ok {
					t.Errorf("%s: %s has a session with %s, which has none with it", path, a, b)
					continue
				}
				pairs++
				if p.Passive == back.Passive {
					t.Errorf("%s: %s and %s: passive: %v, %v", path, a, b, p.Passive, back.Passive)
				}
				if p.Source.IsValid() && p.Source != back.Address || p.IPv4 != back.IPv4 || p.IPv6 != back.IPv6 {
					t.Errorf("%s: %s and %s do not fit:\n%s\n%s", path, a, b, state.String(p), state.String(back))
				}
				if p.ClusterID.IsValid() && back.ClusterID.IsValid() {
					t.Errorf("%s: %s and %s are each other's clients", path, a, b)
				}
			}
		}
		if pairs == 0 {
			t.Errorf("%s: no sessions between nodes", path)
		}
	}
}

// What is rendered of a new node leaves the sessions among the others as they are.
func TestANewNodeChangesNoOtherSession(t *testing.T) {
	f := load(t, "testdata/bgp/mesh.yaml")
	before, _, err := BGP(f, "n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Nodes = append(f.Nodes, desired.Node{Name: "new", Addresses: []desired.CIDR{{Prefix: netip.MustParsePrefix("172.18.0.99/24")}}})
	after, _, err := BGP(f, "n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	now := state.Snapshot{}
	for _, w := range after {
		now.Put(w.Object)
	}
	for _, w := range before {
		if now[w.Object.Key()] != w.Object {
			t.Errorf("%s\nbecame %v", state.String(w.Object), now[w.Object.Key()])
		}
	}
	if len(after) != len(before)+1 {
		t.Errorf("%d objects became %d", len(before), len(after))
	}
}

func TestEndpointPrefixes(t *testing.T) {
	f := load(t, "testdata/bgp/mesh.yaml")
	for _, tc := range []struct{ what, address, want string }{
		{"within a podCIDR of the node", "10.244.1.5", ""},
		{"moved here from another node", "10.244.2.5", "10.244.2.5/32"},
		{"IPv6, too", "fd00:10:244:9::5", "fd00:10:244:9::5/128"},
		{"in a static pool", "10.250.9.1", ""},
		{"in no pool", "203.0.113.7", "203.0.113.7/32"},
	} {
		got := ""
		for _, w := range EndpointPrefixes(f, "n1", state.Endpoint{Addresses: []netip.Addr{netip.MustParseAddr(tc.address)}}, "endpoint x") {
			got += w.Object.Key().ID
			if w.Origin != "endpoint x" {
				t.Errorf("origin %s", w.Origin)
			}
		}
		if got != tc.want {
			t.Errorf("%s (%s): %q, not %q", tc.what, tc.address, got, tc.want)
		}
	}
	f.BGP = nil
	if w := EndpointPrefixes(f, "n1", state.Endpoint{Addresses: []netip.Addr{netip.MustParseAddr("10.244.2.5")}}, ""); len(w) > 0 {
		t.Errorf("without BGP: %v", w)
	}
}

func TestTTL(t *testing.T) {
	for _, tc := range []struct {
		security     bool
		multihop     int
		ttl, minimal uint8
	}{
		{false, 0, 0, 0},
		{false, 1, 0, 0},
		{false, 2, 2, 0},
		{false, 255, 255, 0},
		{true, 0, 0, 255},
		{true, 1, 0, 255},
		{true, 2, 0, 254},
		{true, 255, 0, 1},
	} {
		if ttl, minimal := ttl(tc.security, tc.multihop); ttl != tc.ttl || minimal != tc.minimal {
			t.Errorf("%+v: %d, %d", tc, ttl, minimal)
		}
	}
}
