package lab

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDefaultTopology(t *testing.T) {
	topology, err := ReadTopology("")
	if err != nil {
		t.Fatal(err)
	}
	l, err := topology.Layout()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range l.Nodes {
		got = append(got, n.Name)
		for _, p := range n.Pods {
			for _, a := range p.Addresses {
				got = append(got, p.Name+" "+a.String())
			}
		}
	}
	want := []string{
		"node1", "a1 10.244.1.10", "a1 fd00:10:244:1::a", "a2 10.244.1.11", "a2 fd00:10:244:1::b",
		"node2", "b1 10.244.2.10", "b1 fd00:10:244:2::a", "b2 10.244.2.11", "b2 fd00:10:244:2::b",
		"node3", "c1 10.244.3.10", "c1 fd00:10:244:3::a", "c2 10.244.3.11", "c2 fd00:10:244:3::b",
		"rr",
	}
	if !slices.Equal(got, want) {
		t.Errorf("layout:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	gateways := []netip.Addr{netip.MustParseAddr("172.18.0.1"), netip.MustParseAddr("fd00:172:18::1")}
	if got := l.Nodes[2].Gateways; !slices.Equal(got, gateways) {
		t.Errorf("gateways of node3: %v, want %v", got, gateways)
	}
}

// The topologies beside the default one.
func TestTopologiesAreValid(t *testing.T) {
	files, err := filepath.Glob("topologies/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatal("no topologies", err)
	}
	for _, file := range files {
		topology, err := ReadTopology(file)
		if err == nil {
			_, err = topology.Layout()
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if want := strings.TrimSuffix(filepath.Base(file), ".yaml"); topology.Name != want {
			t.Errorf("%s is of a lab named %s", file, topology.Name)
		}
	}
}

// Each case is a change to the default topology, and what is said of it.
func TestBadTopologies(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"unknown field", "gateway: true", "gatway: true", `t.yaml:34: unknown field gatway`},
		{"wrong type", "name: route-reflector", "name: [a]", `t.yaml:17: cannot unmarshal`},
		{"no address", "172.18.0.1/24", "172.18.0.1", `no '/'`},
		{"not YAML", "segments:", "segments: [", `t.yaml:`},
		{"name used twice", "pods: [b1, b2]", "pods: [a1, b2]", `pod "a1": there is a pod of this name`},
		{"pod named as a node", "pods: [b1, b2]", "pods: [node1, b2]", `pod "node1": there is a node of this name`},
		{"name too long for an interface", "pods: [b1, b2]", "pods: [a-name-of-16-xyz, b2]", `a name is 1 to 15`},
		{"name that is a path", "pods: [b1, b2]", "pods: [../b1, b2]", `a name is 1 to 15`},
		{"no such segment", "segment: lan\n    addresses", "segment: wan\n    addresses", `host "internet": there is no segment "wan"`},
		{"node that the state lacks", "- name: node3\n    segment", "- name: node4\n    segment", `node "node4": is not among the nodes of the state`},
		{"bad state", "natOutgoing: true", "natOutgoing: yes please", `state:6:18: `},
		{"automatic pod named as a pod", "pods: [b1, b2]", "pods: [b1]\n    autoPods: [a1]", `pod "a1": there is a pod of this name`},
		{"node without podCIDRs", `podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]`, "labels: {a: b}", `pod "a1": node "node1" has no podCIDRs`},
		{"pod outside its podCIDR", "podCIDRs: [10.244.1.0/24,", "podCIDRs: [10.244.1.0/29,", `10.244.1.0/29 has no address number 10`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(string(routeReflector), c.from, c.to, 1)
			if text == string(routeReflector) {
				t.Fatalf("the default topology does not hold %q", c.from)
			}
			_, err := ParseTopology("t.yaml", []byte(text))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "t.yaml:") {
				t.Errorf("error: %v\nwant one of t.yaml that says: %s", err, c.want)
			}
		})
	}
}

func TestTopologyWithoutState(t *testing.T) {
	text, _, _ := strings.Cut(string(routeReflector), "state: |")
	if _, err := ParseTopology("t.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "state: is missing") {
		t.Errorf("error: %v", err)
	}
}
