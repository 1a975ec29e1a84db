package desired

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

const reference = "../../examples/reference.yaml"

func TestExamplesAreValid(t *testing.T) {
	for _, path := range []string{
		reference,
		"../../examples/minimal.yaml",
		"../../examples/dual-stack.yaml",
		"../../examples/overlays.yaml",
		"../../examples/directory",
	} {
		f, problems, err := Load(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, p := range problems { // not even warnings: they are examples
			t.Error(p)
		}
		if f == nil || len(f.Nodes) == 0 {
			t.Errorf("%s: no nodes", path)
		}
	}
}

// A field that the reference does not have is one that no user finds.
func TestReferenceHasEveryField(t *testing.T) {
	data, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	explained := make(map[string]bool) // by path: somewhere with a comment
	collect(doc.Content[0], "", "", explained)
	for _, path := range Fields() {
		if comment, ok := explained[path]; !ok {
			t.Errorf("the reference lacks %s", path)
		} else if !comment {
			t.Errorf("the reference has no comment on %s", path)
		}
		delete(explained, path)
	}
	for path := range explained {
		if !strings.Contains(path, "labels.") && !strings.Contains(path, "nodeSelector.") {
			t.Errorf("the reference has %s, which Fields does not", path)
		}
	}
}

func collect(n *yaml.Node, path, comment string, explained map[string]bool) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			p := strings.TrimPrefix(path+"."+k.Value, ".")
			about := k.HeadComment + k.LineComment + v.HeadComment
			if i == 0 {
				about += comment
			}
			explained[p] = explained[p] || about != ""
			collect(v, p, "", explained)
		}
	case yaml.SequenceNode:
		for _, e := range n.Content {
			collect(e, path+"[]", n.HeadComment+e.HeadComment, explained)
		}
	}
}

// Every part of the Go types gets its value from the file: a field whose table
// entry fills the wrong part, or none, leaves one empty.
func TestReferenceFillsEveryPart(t *testing.T) {
	f, _, err := Load(reference)
	if err != nil || f == nil {
		t.Fatal(f, err)
	}
	filled := make(map[string]bool)
	fill(reflect.ValueOf(*f), "File", filled)
	// What is the default in the reference, and empty.
	defaults := []string{"File.BGP.Peers[].Passive"}
	for path, ok := range filled {
		if !ok && !slices.Contains(defaults, path) {
			t.Errorf("%s is empty", path)
		}
	}
}

func fill(v reflect.Value, path string, filled map[string]bool) {
	filled[path] = filled[path] || !v.IsZero()
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		fill(v.Elem(), path, filled)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), path+"[]", filled)
		}
	case v.Kind() == reflect.Struct && strings.Contains(v.Type().PkgPath(), "plumb"):
		for i := range v.NumField() {
			fill(v.Field(i), path+"."+v.Type().Field(i).Name, filled)
		}
	}
}

func TestDefaults(t *testing.T) {
	f, problems := Parse([]Source{{Name: "a.yaml", Data: []byte(`
apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16}]
nodes:
  - {name: a, addresses: [192.0.2.1/24], routeReflector: {}}
  - {name: b, addresses: [192.0.2.2/24], routerID: 9.9.9.9, routeReflector: {}}
bgp:
  asn: 64512
  peers: [{name: p, address: 192.0.2.9, asn: 1}]
  filters: [{name: f, rules: [{}]}]
`)}})
	if len(problems) > 0 || f == nil {
		t.Fatal(problems)
	}
	b := f.BGP
	for _, c := range []struct {
		field     string
		got, want any
	}{
		{"pools[].reachability", f.Pools[0].Reachability, ByBGP},
		{"pools[].encapsulation", f.Pools[0].Encapsulation, NoEncapsulation},
		{"pools[].encapsulate", f.Pools[0].Encapsulate, Always},
		{"pools[].vxlan", f.Pools[0].VXLAN, VXLANOptions{VNI: 4096, Port: 4789}},
		{"pools[].natOutgoing", f.Pools[0].NATOutgoing, false},
		{"nat.fullyRandom", f.NAT.FullyRandom, true},
		{"clusterID", f.Nodes[0].RouteReflector.ClusterID.String(), "192.0.2.1"},
		{"clusterID by routerID", f.Nodes[1].RouteReflector.ClusterID.String(), "9.9.9.9"},
		{"bgp.mesh", b.Mesh, false},
		{"bgp.listenPort", b.ListenPort, 179},
		{"bgp.holdTime", b.HoldTime, 90 * time.Second},
		{"bgp.gracefulRestart.restartTime", b.GracefulRestart.RestartTime, 120 * time.Second},
		{"bgp.maxPaths", b.MaxPaths, 8},
		{"bgp.peers[].port", b.Peers[0].Port, uint16(179)},
		{"bgp.peers[].import", b.Peers[0].Import == nil, true},
		{"bgp.peers[].families", b.Peers[0].Families == nil, true},
		{"bgp.filters[].default", b.Filters[0].Default, "reject"},
		{"bgp.filters[].rules[].action", b.Filters[0].Rules[0].Action, "next"},
		{"settings.mtu", f.Settings.MTU, 0},
		{"settings.resyncInterval", f.Settings.ResyncInterval, 60 * time.Second},
		{"settings.routeTable", f.Settings.RouteTable, uint32(254)},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v by default, want %v", c.field, c.got, c.want)
		}
	}
	f, _, err := Load(filepath.FromSlash("../../examples/minimal.yaml"))
	if err != nil || f.BGP != nil || f.Pools[0].Reachability != Static {
		t.Errorf("without bgp: %+v, %v", f, err)
	}
}
