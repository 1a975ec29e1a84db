package render

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func load(t *testing.T, path string) *desired.File {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, problems := desired.Parse([]desired.Source{{Name: filepath.Base(path), Data: data}})
	if f == nil {
		t.Fatalf("%s: %v", path, problems)
	}
	return f
}

// worker1 is the host of all golden files: an uplink, a second one in a larger
// subnet, and one wired pod. tap1 is there, and down.
var worker1 = Host{Interfaces: interfaces(
	state.Interface{Name: "lo", Up: true, Addresses: prefixes("127.0.0.1/8", "::1/128")},
	state.Interface{Name: "eth0", Up: true, Addresses: prefixes("172.18.0.3/16", "fc00:f853:ccd:e793::3/64", "fe80::1/64")},
	state.Interface{Name: "eth1", Up: true, Addresses: prefixes("172.16.0.9/12")},
	state.Interface{Name: "eth2", Up: false, Addresses: prefixes("192.168.7.1/24")},
	state.Interface{Name: "tap0", Up: true},
	state.Interface{Name: "tap1", Up: false},
	state.Interface{Name: "plb0123456789a", Up: false},
)}

func interfaces(list ...state.Interface) map[string]state.Interface {
	m := map[string]state.Interface{}
	for _, i := range list {
		m[i.Name] = i
	}
	return m
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// TestGolden holds what the files in testdata make of worker1: the objects with
// their origins, the warnings, and both scripts.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", everything(t, load(t, path), worker1))
		})
	}
	t.Run("elsewhere", func(t *testing.T) {
		golden(t, "testdata/static-elsewhere.golden",
			everything(t, load(t, "testdata/static.yaml"), Host{Elsewhere: true}))
	})
}

func everything(t *testing.T, f *desired.File, host Host) string {
	t.Helper()
	wanted, warnings, err := Node(f, "worker1", host)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range FileEndpoints(f, "worker1") {
		more, pending := Endpoint(e.Endpoint, e.Origin, f.Settings.RouteTable, host)
		wanted = append(wanted, more...)
		if pending != "" {
			fmt.Fprintf(&b, "pending: %s: %s\n", e.Name, pending)
		}
	}
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	s := state.Snapshot{}
	origins := map[state.Key]string{}
	for _, w := range wanted {
		key := w.Object.Key()
		if s[key] != nil {
			t.Errorf("%s is wanted twice", key)
		}
		s.Put(w.Object)
		origins[key] = w.Origin
	}
	b.WriteString("\n# objects and their origins\n")
	objects := s.Sorted()
	for _, o := range objects {
		fmt.Fprintf(&b, "%-68s  %s\n", state.String(o), origins[o.Key()])
	}
	b.WriteString("\n# ip -batch\n" + IP(objects))
	b.WriteString("\n# nft -f\n" + NFT(objects))
	return b.String()
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (rewrite it with -update, and read the change):\n%s", path, got)
	}
}

func TestANodeThatIsNotInTheFile(t *testing.T) {
	f := load(t, "testdata/static.yaml")
	_, _, err := Node(f, "worker9", worker1)
	var unknown *UnknownNodeError
	if !errors.As(err, &unknown) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{`"worker9"`, "worker1, worker2, faraway", "--node"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %s", err, part)
		}
	}
	many := &desired.File{}
	for i := range 20 {
		many.Nodes = append(many.Nodes, desired.Node{Name: fmt.Sprintf("n%d", i)})
	}
	if _, _, err := Node(many, "x", worker1); !strings.Contains(err.Error(), "n7 and 12 more") {
		t.Errorf("of many nodes: %v", err)
	}
	if _, _, err := Node(&desired.File{}, "x", worker1); !strings.Contains(err.Error(), "has no nodes") {
		t.Errorf("of no nodes: %v", err)
	}
}

func TestAHostWithoutTheNodesAddress(t *testing.T) {
	_, warnings, err := Node(load(t, "testdata/static.yaml"), "worker2", worker1)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		if strings.Contains(w.Text, "--node") && strings.Contains(w.Text, "172.18.0.4") {
			return
		}
	}
	t.Errorf("no warning that this host is not worker2: %v", warnings)
}

func TestANodeWithoutAnAddressOfTheFamily(t *testing.T) {
	f := load(t, "testdata/static.yaml")
	f.Nodes[1].Addresses = f.Nodes[1].Addresses[:1] // IPv4 alone
	_, warnings, err := Node(f, "worker1", worker1)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		if strings.Contains(w.Text, "fd00:10:244:2::/64") && strings.Contains(w.Text, "no address of this family") {
			return
		}
	}
	t.Errorf("no warning for the IPv6 podCIDR: %v", warnings)
}
