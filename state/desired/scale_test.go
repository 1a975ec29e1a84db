package desired

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// cluster is a state file of n nodes with one endpoint each, a peer for each
// rack of 40, and a pool for each 250 nodes.
func cluster(n int) []byte {
	var b bytes.Buffer
	b.WriteString("apiVersion: plumb/v1\npools:\n")
	for i := range (n + 249) / 250 {
		fmt.Fprintf(&b, "  - cidr: 10.%d.0.0/16\n    natOutgoing: true\n", i)
	}
	b.WriteString("nodes:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - name: node%d\n    addresses: [172.16.%d.%d/12]\n    podCIDRs: [10.%d.%d.0/24]\n    labels: {rack: r%d, role: worker}\n",
			i, i/250, i%250+1, i/250, i%250, i/40)
	}
	b.WriteString("endpoints:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {name: vm%d, node: node%d, interface: tap0, addresses: [10.%d.%d.9]}\n", i, i, i/250, i%250)
	}
	// All racks have the same address for their router, as they do in practice.
	b.WriteString("bgp:\n  asn: 64512\n  peers:\n")
	for i := range (n + 39) / 40 {
		fmt.Fprintf(&b, "  - {name: tor%d, address: 169.254.0.1, asn: 64496, nodeSelector: {rack: r%d, role: worker}}\n", i, i)
	}
	return b.Bytes()
}

func TestLargeCluster(t *testing.T) {
	f, problems := Parse([]Source{{"plumb.yaml", cluster(10_000)}})
	if f == nil || len(problems) > 0 {
		t.Fatalf("%d problems, the first: %v", len(problems), problems[:1])
	}
	if len(f.Nodes) != 10_000 || len(f.Endpoints) != 10_000 || len(f.BGP.Peers) != 250 {
		t.Errorf("%d nodes, %d endpoints, %d peers", len(f.Nodes), len(f.Endpoints), len(f.BGP.Peers))
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		sources := []Source{{"plumb.yaml", cluster(n)}}
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if f, problems := Parse(sources); f == nil {
					b.Fatal(problems[0])
				}
			}
		})
	}
}

// BenchmarkParseAllWrong is a file of which every line is wrong: the errors must
// not cost more than the text.
func BenchmarkParseAllWrong(b *testing.B) {
	text := cluster(10_000)
	text = bytes.ReplaceAll(text, []byte("node: node"), []byte("node: noed"))
	text = bytes.ReplaceAll(text, []byte("podCIDRs: [10."), []byte("podCIDRs: [11."))
	text = bytes.ReplaceAll(text, []byte("labels"), []byte("lables"))
	for b.Loop() {
		if f, _ := Parse([]Source{{"plumb.yaml", text}}); f != nil {
			b.Fatal("accepted")
		}
	}
}

// overlaps finds a partner for exactly those prefixes that have one, and names
// the later one.
func TestOverlapsLikePairs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var list []placedPrefix
		for i := range r.IntN(20) {
			a := netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(256)), 0})
			list = append(list, placedPrefix{netip.PrefixFrom(a, 14+r.IntN(11)).Masked(), Pos{"f", i + 1, 1}, nil})
		}
		original := slices.Clone(list)
		involved := make(map[Pos]bool)
		overlaps(list, func(a, b placedPrefix) {
			if comparePos(a.pos, b.pos) >= 0 || !a.prefix.Overlaps(b.prefix) {
				t.Errorf("%v and %v", a, b)
			}
			involved[a.pos], involved[b.pos] = true, true
		})
		for i, p := range original {
			want := slices.ContainsFunc(original, func(q placedPrefix) bool { return q.pos != p.pos && q.prefix.Overlaps(p.prefix) })
			if involved[p.pos] != want {
				t.Errorf("prefix %d of %v: overlap %v, want %v", i, original, involved[p.pos], want)
			}
		}
	}
}

func TestCovering(t *testing.T) {
	var table prefixTable[string]
	for _, p := range []string{"10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "0.0.0.0/1"} {
		table.put(netip.MustParsePrefix(p), p)
	}
	for of, want := range map[string]string{
		"10.1.2.0/24":     "10.1.0.0/16",
		"10.1.0.0/16":     "10.1.0.0/16",
		"10.0.0.0/15":     "10.0.0.0/8",
		"10.9.9.9/32":     "10.0.0.0/8",
		"11.0.0.0/8":      "0.0.0.0/1",
		"128.0.0.0/8":     "",
		"2001:db8:1::/48": "2001:db8::/32",
		"2001:db9::/48":   "",
	} {
		if got, ok := table.covering(netip.MustParsePrefix(of)); got != want || ok != (want != "") {
			t.Errorf("%s is covered by %q, want %q", of, got, want)
		}
	}
}

// The index of labels gives what a look at every node gives.
func TestSelectionLikeMatches(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	random := func() map[string]string {
		m := make(map[string]string)
		for range r.IntN(4) {
			m[string(rune('a'+r.IntN(3)))] = string(rune('x' + r.IntN(2)))
		}
		return m
	}
	nodes := make([]Node, 50)
	for i := range nodes {
		nodes[i].Labels = random()
	}
	s := newSelection(nodes)
	for range 200 {
		selector := random()
		var want []int
		for i := range nodes {
			if nodes[i].Matches(selector) {
				want = append(want, i)
			}
		}
		if got := s.match(selector); !slices.Equal(got, want) {
			t.Errorf("%v selects %v, want %v", selector, got, want)
		}
	}
}
