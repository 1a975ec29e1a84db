package bgp

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/plumbnet/plumb/state"
)

func TestBest(t *testing.T) {
	path := func(hop, peer string) Path { return Path{netip.MustParseAddr(hop), netip.MustParseAddr(peer)} }
	for _, c := range []struct {
		name string
		in   []Path
		want []Path
	}{
		{"none", nil, nil},
		{"sorted, each next hop once", []Path{path("10.0.0.2", "1.1.1.1"), path("10.0.0.1", "2.2.2.2"), path("10.0.0.2", "1.1.1.0")}, []Path{path("10.0.0.1", "2.2.2.2"), path("10.0.0.2", "1.1.1.0")}},
		{"one", []Path{path("10.0.0.1", "2.2.2.2")}, []Path{path("10.0.0.1", "2.2.2.2")}},
	} {
		if got := best(slices.Clone(c.in)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A path's next hop is found in either attribute that has one.
func TestNextHopOfAPath(t *testing.T) {
	for _, c := range []struct{ prefix, hop string }{
		{"10.244.1.0/24", "192.0.2.1"}, {"0.0.0.0/0", "0.0.0.0"}, {"fd00::/64", "2001:db8::1"}, {"10.0.0.0/8", "2001:db8::1"},
	} {
		want, hop := netip.MustParsePrefix(c.prefix), netip.MustParseAddr(c.hop)
		p := apiPath(want, hop, []string{"1:2", "1:2:3"})
		if got := ribPath(p, 64512).NextHop; got != hop {
			t.Errorf("%s via %s: got %s", want, hop, got)
		}
	}
	for _, bad := range []*anypb.Any{{}, {TypeUrl: "x.NextHopAttribute", Value: []byte{0xff}}, packed(&api.OriginAttribute{})} {
		if a := ribPath(&api.Path{Pattrs: []*anypb.Any{bad}}, 64512).NextHop; a.IsValid() {
			t.Errorf("%v was taken for %s", bad, a)
		}
	}
	if a := ribPath(&api.Path{NeighborIp: "<nil>"}, 64512).Peer; a.IsValid() {
		t.Error("nobody has an address")
	}
}

func TestMarks(t *testing.T) {
	seen := map[string]bool{}
	for g := range generations {
		for _, n := range []int{0, 1, markRules - 1, markNoHop, markDecided} {
			m := mark(g, n)
			if seen[m] || !isMark(m) {
				t.Errorf("%d %d: %s", g, n, m)
			}
			seen[m] = true
		}
	}
	for _, other := range []string{"65535:666", "65535:65281", "64512:33000", "65535:63000", "65535:33000:1", "65535:x"} {
		if isMark(other) {
			t.Errorf("%s is no mark", other)
		}
	}
	g := 0
	for range 2 * generations {
		if next := nextGeneration(g); next == g || next == 0 || next%generations == g%generations {
			t.Errorf("after generation %d comes %d, which cannot be told from it", g, next)
		} else {
			g = next
		}
	}
	o := origins{}
	first, err := o.number(origin{asPath: "1"})
	if again, _ := o.number(origin{asPath: "1"}); err != nil || again != first {
		t.Errorf("%d, then %d, %v", first, again, err)
	}
	for n := range markRules {
		_, err = o.number(origin{asPath: strings.Repeat("1", n%40) + "_" + string(rune('0'+n/40%10)) + strings.Repeat("2", n/400)})
	}
	if err == nil {
		t.Error("numbers never end")
	}
}

func TestNeighboursAreRemembered(t *testing.T) {
	dir := t.TempDir()
	n, err := openNeighbours(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"10.0.0.2", "10.0.0.1", "fd00::1", "10.0.0.2"} {
		if err := n.note(netip.MustParseAddr(a), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.note(netip.MustParseAddr("10.0.0.1"), false); err != nil {
		t.Fatal(err)
	}
	again, err := openNeighbours(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.in(netip.MustParsePrefix("10.0.0.0/8")); len(got) != 1 || got[0].String() != "10.0.0.2" {
		t.Errorf("%v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, neighboursName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openNeighbours(dir); err == nil {
		t.Error("a broken list was taken")
	}
}

func TestPasswords(t *testing.T) {
	dir := t.TempDir()
	p, err := OpenPasswords(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "password")
	write := func(s string, mode os.FileMode) {
		if err := os.WriteFile(file, []byte(s), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("secret\n", 0o600)
	id, warning, err := p.Look(file)
	if err != nil || warning != "" || strings.Contains(id, "secret") {
		t.Fatalf("%q %q %v", id, warning, err)
	}
	if secret, ok := p.password(id); !ok || secret != "secret" {
		t.Errorf("%q %v", secret, ok)
	}
	again, err := OpenPasswords(dir)
	if err != nil {
		t.Fatal(err)
	}
	if same, _, _ := again.Look(file); same != id {
		t.Error("the ID is another after a restart")
	}
	other, _ := OpenPasswords(t.TempDir())
	if same, _, _ := other.Look(file); same == id {
		t.Error("the ID is that of every node: it could be looked up")
	}
	write("another", 0o644)
	changed, warning, err := p.Look(file)
	if err != nil || changed == id || !strings.Contains(warning, "chmod 600") {
		t.Errorf("%q %q %v", changed, warning, err)
	}
	for what, text := range map[string]string{"empty": "\n", "more than one line": "a\nb", "80 at most": strings.Repeat("x", 81)} {
		write(text, 0o600)
		if _, _, err := p.Look(file); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := p.Look(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing file was taken")
	}
	if i, err := os.Stat(filepath.Join(dir, keyName)); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", i, err)
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		codeWords(6, 2): "cease, administrative shutdown",
		codeWords(4, 0): "hold timer expired",
		connectWords("dial tcp: connect: connection refused"):     "cannot connect: the peer does not listen, or does not know this node",
		connectWords("dial tcp 1.2.3.4:179: i/o timeout"):         "cannot connect: no answer; is the peer there, and is the password the same?",
		connectWords("dial tcp: connect: network is unreachable"): "cannot connect: network is unreachable",
		reasonWords("read-failed"):                                "the connection was lost",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	peer := netip.MustParseAddr("192.0.2.1")
	base := RIBPath{Peer: peer, LocalPref: 100, ASPath: []uint32{1, 2}, firstAS: 1, Origin: "igp", external: true}
	for want, change := range map[string]func(*RIBPath){
		"lower local preference": func(p *RIBPath) { p.LocalPref = 50 },
		"longer AS path":         func(p *RIBPath) { p.ASPath = []uint32{1, 2, 3} },
		"worse origin":           func(p *RIBPath) { p.Origin = "incomplete" },
		"higher MED":             func(p *RIBPath) { p.MED = 9 },
		"internal":               func(p *RIBPath) { p.external = false },
		"equal to the best":      func(*RIBPath) {},
	} {
		other := base
		change(&other)
		paths := []RIBPath{base, other}
		explain(paths)
		if paths[1].Why != want || paths[1].Best != (want == "equal to the best") || !paths[0].Best {
			t.Errorf("%s: %+v", want, paths)
		}
	}
	own := base
	own.Peer = netip.Addr{}
	paths := []RIBPath{own, base}
	explain(paths)
	if paths[0].Why != "originated here" || paths[1].Best {
		t.Errorf("%+v", paths)
	}
}

// A session by its address comes before the prefix that holds it, a longer prefix
// before a shorter: the first that matches decides.
func TestGroupsFromSpecialToGeneral(t *testing.T) {
	c := newConfig()
	c.speaker = &state.BGPSpeaker{ASN: 1}
	for _, p := range []state.BGPPeer{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		{Prefix: netip.MustParsePrefix("10.0.0.0/24"), ASN: 1},
		{Address: netip.MustParseAddr("10.0.0.1"), Reflect: true},
		{Address: netip.MustParseAddr("10.0.0.2"), Reflect: true},
	} {
		c.peers[p.Key().ID] = p
	}
	var got []string
	for _, g := range c.groups(exporting, func(state.BGPPeer) bool { return true }) {
		var ids []string
		for _, p := range g {
			ids = append(ids, p.Key().ID)
		}
		got = append(got, strings.Join(ids, " "))
	}
	want := []string{"10.0.0.1 10.0.0.2", "10.0.0.0/24", "10.0.0.0/8"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOverlap(t *testing.T) {
	list := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/64")}
	for p, want := range map[string]string{
		"10.0.0.0/8": "[10.0.0.1/32 10.1.0.0/16]", "10.1.2.0/24": "[10.1.2.0/24]", "10.2.0.0/16": "[]", "::/0": "[fd00::/64]",
	} {
		got := overlap(list, netip.MustParsePrefix(p))
		var words []string
		for _, g := range got {
			words = append(words, g.String())
		}
		if s := "[" + strings.Join(words, " ") + "]"; s != want {
			t.Errorf("%s: %s, want %s", p, s, want)
		}
	}
}

// Prefixes of the same paths share them, and what flaps while nobody takes it does not
// pile up.
func TestUpdatesAreGathered(t *testing.T) {
	u := newUpdates(false)
	a, b := netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("10.0.2.0/24")
	one := []Path{{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("1.1.1.1")}}
	u.change(func() {
		u.put(a, one)
		u.put(b, one)
		u.put(a, nil)
		one[0].NextHop = netip.Addr{} // it is the caller's
	})
	got, news := u.take()
	if !news || len(got.Updates) != 3 {
		t.Fatalf("got %v", got.Updates)
	}
	first, second := got.Updates[0].Paths, got.Updates[1].Paths
	if &first[0] != &second[0] || !first[0].NextHop.IsValid() || got.Updates[2].Paths != nil {
		t.Errorf("got %v", got.Updates)
	}
	if again, news := u.take(); news || len(again.Updates) != 0 {
		t.Errorf("again %v", again.Updates)
	}
	u.change(func() {
		u.put(a, nil)
		for range 2 * listed {
			u.put(b, nil)
			u.put(b, first)
		}
	})
	got, _ = u.take()
	if len(got.Updates) > listed || got.Updates[0].Prefix != a || len(got.Updates[len(got.Updates)-1].Paths) != 1 {
		t.Errorf("got %d updates, from %v", len(got.Updates), got.Updates[0])
	}
}
