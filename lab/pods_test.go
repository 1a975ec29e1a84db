package lab_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/state"
)

// beside puts plumb into a folder of its own, and what is given beside it as the
// CNI plugin.
func (c *cluster) beside(plugin string) {
	c.t.Helper()
	dir := filepath.Join(c.base, "bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.plumb = filepath.Join(dir, "plumb")
	if err := os.Link(plumb, c.plumb); err != nil {
		c.t.Fatal(err)
	}
	if plugin == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "plumb-cni"), []byte(plugin), 0o755); err != nil {
		c.t.Fatal(err)
	}
}

// A lab's pods are made and deleted by the plugin, called as a runtime calls it.
func TestPodsAreMadeByThePlugin(t *testing.T) {
	asUsers(t, func(t *testing.T, c *cluster) {
		calls := filepath.Join(c.base, "calls")
		if err := os.WriteFile(calls, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(calls, 0o666); err != nil { // also for who is not root
			t.Fatal(err)
		}
		c.beside(fmt.Sprintf("#!/bin/sh\necho $CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS >>%s\nexec %s-cni\n", calls, plumb))
		c.ok("up", "-f", c.topology("pods: [a1, a2]", "pods: [a1]\n    autoPods: [a2, a3]"))

		var s lab.Status
		if err := json.Unmarshal([]byte(c.ok("status", "-o", "json")), &s); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, p := range s.Pods {
			for _, verb := range []string{"ADD", "DEL"} {
				want = append(want, fmt.Sprintf("%s lab-%[2]s /run/netns/%[2]s eth0 IgnoreUnknown=1;K8S_POD_NAMESPACE=e2e;K8S_POD_NAME=%[2]s", verb, p.Name))
			}
			checkRecord(t, c, p)
		}
		checkAutomatic(t, c, s.Pods[1:3])
		c.ok("down")
		text, err := os.ReadFile(calls)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSpace(string(text)), "\n")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("the plugin was called\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// checkRecord compares what the plugin wrote down with what the lab says of a pod.
func checkRecord(t *testing.T, c *cluster, p lab.Pod) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir().StateDir(p.Node), "endpoints", "lab-"+p.Name+"%2Feth0.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e state.Endpoint
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	if e.Name != "e2e/"+p.Name || e.Interface != p.Interface || !slices.Equal(e.Addresses, p.Addresses) || e.Network != "plumb" {
		t.Errorf("pod %+v is recorded as %s", p, text)
	}
}

// checkAutomatic: where the topology says no address, the plugin has chosen those
// that are free, and they work.
func checkAutomatic(t *testing.T, c *cluster, pods []lab.Pod) {
	t.Helper()
	seen := map[netip.Addr]bool{}
	for _, p := range pods {
		for i, cidr := range []string{"10.244.1.0/24", "fd00:10:244:1::/64"} {
			if len(p.Addresses) != 2 || !netip.MustParsePrefix(cidr).Contains(p.Addresses[i]) || seen[p.Addresses[i]] {
				t.Fatalf("addresses of the pods: %+v", pods)
			}
			seen[p.Addresses[i]] = true
		}
	}
	if out := c.ok("ping"); strings.Count(out, "56 sent, 0 lost") != 2 {
		t.Errorf("ping:\n%s", out)
	}
}

// What the plugin says when it cannot make a pod is what `up` says.
func TestUpWithoutAnAddress(t *testing.T) {
	c := newCluster(t, nil)
	_, stderr, code := c.run("up", "-f", c.topology(
		"pods: [c1, c2]", "autoPods: [c1, c2, c3, c4]",
		`podCIDRs: [10.244.3.0/24, "fd00:10:244:3::/64"]`, "podCIDRs: [10.244.3.0/30]"))
	if code != 2 || !strings.Contains(stderr, "plumb: pod c") || !strings.Contains(stderr, "10.244.3.0/30") {
		t.Errorf("exit status %d, %s", code, stderr)
	}
	c.leavesNothing()
}

// A pod that cannot be deleted is told of, and keeps nothing.
func TestDownOfAPodThatCannotBeDeleted(t *testing.T) {
	c := newCluster(t, nil)
	c.ok("up")
	record := filepath.Join(c.dir().StateDir("node2"), "endpoints", "lab-b1%2Feth0.json")
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(record, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := c.run("down")
	if code != 2 || !strings.HasPrefix(stderr, "plumb: pod b1 is not deleted: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit status %d, %s", code, stderr)
	}
	c.leavesNothing()
}

// Without the plugin there is no lab, and it is said where it was looked for.
func TestUpWithoutThePlugin(t *testing.T) {
	c := newCluster(t, nil)
	c.beside("")
	_, stderr, code := c.run("up")
	want := filepath.Join(c.base, "bin", "plumb-cni") + ": there is no such file; it has to be beside plumb, where `make build` and `make install` put it"
	if code != 2 || !strings.Contains(stderr, want) {
		t.Errorf("exit status %d, %s, want %s", code, stderr, want)
	}
	c.leavesNothing()
}
