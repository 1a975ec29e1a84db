package cni

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/render"
)

const stateFile = `
apiVersion: plumb/v1
pools:
  - cidr: 10.244.0.0/16
  - cidr: fd00:10:244::/56
nodes:
  - name: worker1
    addresses: [172.18.0.3/16]
    podCIDRs: [10.244.1.0/24, fd00:10:244:1::/64, 10.244.101.0/24]
  - name: worker2
    addresses: [172.18.0.4/16]
    podCIDRs: [10.244.2.0/24]
endpoints:
  - {name: db-vm, node: worker1, interface: tap0, addresses: [10.244.1.200]}
  - {name: other-vm, node: worker2, interface: tap0, addresses: [10.244.2.200]}
settings: {mtu: 1400, resyncInterval: 30s, routeTable: 100}
`

// coded is an error of the specification's as CODE MSG; DETAILS.
func coded(err error) string {
	var e *types.Error
	if !errors.As(err, &e) {
		return "no code: " + err.Error()
	}
	return fmt.Sprintf("%d %v", e.Code, e)
}

func requestFor(t *testing.T, content string) *request {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "plumb.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &request{
		CmdArgs: &skel.CmdArgs{ContainerID: "container1", IfName: "eth0"},
		config:  config{File: file, Node: "worker1", StateDir: filepath.Join(dir, "state")},
	}
}

func load(t *testing.T, r *request, whole bool) *node {
	t.Helper()
	n, err := r.loadNode(whole)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatIsRememberedIsAsParsed(t *testing.T) {
	r := requestFor(t, stateFile)
	whole := load(t, r, false)
	if len(whole.file.Nodes) != 2 {
		t.Fatal("the first time the file was not parsed")
	}
	part := load(t, r, false)
	if len(part.file.Nodes) != 1 || len(part.file.Endpoints) != 1 {
		t.Fatalf("the second time it was not remembered: %+v", part.file)
	}
	if !reflect.DeepEqual(whole.Node, part.Node) || whole.file.Settings != part.file.Settings ||
		!reflect.DeepEqual(whole.file.Pools, part.file.Pools) || whole.file.Endpoints[0].Pos != part.file.Endpoints[0].Pos {
		t.Errorf("parsed %+v\nremembered %+v", whole.file, part.file)
	}
	if again := load(t, r, true); len(again.file.Nodes) != 2 {
		t.Error("the whole file was asked for, and a part of it came")
	}
}

// A node with IPv6 alone is reached by another tunnel, with less room in it.
func TestTheMTUIsTheSameFromWhatIsRemembered(t *testing.T) {
	r := requestFor(t, `
apiVersion: plumb/v1
pools:
  - {cidr: 10.244.0.0/16, encapsulation: vxlan}
  - {cidr: fd00:10:244::/56, encapsulation: vxlan}
nodes:
  - {name: worker1, addresses: [172.18.0.3/16, fc00::3/64], podCIDRs: [10.244.1.0/24, fd00:10:244:1::/64]}
  - {name: worker2, addresses: [fc00::4/64], podCIDRs: [10.244.2.0/24]}
`)
	for _, what := range []string{"parsed", "remembered"} {
		n := load(t, r, false)
		if got := render.PodMTU(n.file, n.Name, render.Host{Elsewhere: true}); got != 1430 {
			t.Errorf("%s: %d", what, got)
		}
	}
}

func TestWhatIsRememberedEndsWithWhatItIsOf(t *testing.T) {
	for name, change := range map[string]func(*request, string) error{
		"the file changed": func(r *request, _ string) error {
			return os.WriteFile(r.File, []byte(strings.ReplaceAll(stateFile, "1400", "1300")), 0o600)
		},
		"another node":  func(r *request, _ string) error { r.Node = "worker2"; return nil },
		"torn":          func(_ *request, m string) error { return os.WriteFile(m, []byte(`{"hash":`), 0o600) },
		"another build": func(_ *request, m string) error { return rewrite(m, program(), "another") },
		"not readable":  func(_ *request, m string) error { return errors.Join(os.Remove(m), os.Mkdir(m, 0o755)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := requestFor(t, stateFile)
			load(t, r, false)
			if err := change(r, r.rememberedPath()); err != nil {
				t.Fatal(err)
			}
			if n := load(t, r, false); len(n.file.Nodes) != 2 || n.Name != r.Node {
				t.Errorf("what was remembered was used: %+v", n.file)
			}
		})
	}
}

func rewrite(path, old, replacement string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(string(b), old, replacement)), 0o600)
}

func TestFixedAddressesThatANodeAllows(t *testing.T) {
	r := requestFor(t, stateFile)
	n := load(t, r, true)
	for _, tc := range []struct{ ips, want string }{
		{"10.244.1.7", ""},
		{"10.244.1.7 fd00:10:244:1::7", ""},
		{"10.244.77.7", ""}, // of a pool, and of no node
		{"10.99.0.7", "10.99.0.7 is in no pool of the state file"},
		{"10.244.2.7", "10.244.2.7 is in podCIDR 10.244.2.0/24 of node worker2 (plumb.yaml:12), and this is node worker1"},
		{"10.244.1.7 10.244.1.8", "10.244.1.7 and 10.244.1.8 are of one family; a pod gets one address of each"},
	} {
		r.fixed = nil
		for ip := range strings.FieldsSeq(tc.ips) {
			r.fixed = append(r.fixed, netip.MustParseAddr(ip))
		}
		got := ""
		if err := r.checkFixed(n); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.ips, got, tc.want)
		}
	}
	r.Node, r.fixed = "worker2", []netip.Addr{netip.MustParseAddr("fd00:10:244:1::7")}
	if err := r.checkFixed(load(t, r, true)); err == nil || !strings.Contains(err.Error(), "node worker2 has no podCIDR of its family") {
		t.Error(err)
	}
}

func TestStateFilesThatCannotBeUsed(t *testing.T) {
	for content, want := range map[string]string{
		"apiVersion: plumb/v2\nnodes: 3\n":                    "plumb.yaml:1:13: ",
		strings.ReplaceAll(stateFile, "worker1", "elsewhere"): `node "worker1" is not in the file`,
	} {
		r := requestFor(t, content)
		if _, err := r.loadNode(false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	r := &request{config: config{File: "/nonexistent/plumb.yaml"}}
	if _, err := r.loadNode(false); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestTheNodeRoutes(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		r := requestFor(t, stateFile)
		n := load(t, r, false)
		before := nstest.Sh(t, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding")
		for range 2 {
			if err := r.forward(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if got := nstest.Sh(t, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"); got != "1\n1" {
				t.Fatalf("before %q, now %q", before, got)
			}
		}
		noted, err := os.ReadFile(filepath.Join(r.StateDir, "sysctls.json"))
		if before == "0\n0" && (err != nil || strings.Count(string(noted), `"before": "0"`) != 2) {
			t.Errorf("what was before is not noted: %s, %v", noted, err)
		}
	})
}
