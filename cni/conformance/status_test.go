package conformance

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

func (n *node) status(changes ...conf) error {
	n.t.Helper()
	return n.runtime().GetStatusNetworkList(n.t.Context(), n.network("1.1.0", n.conf(changes...)))
}

func TestStatus(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		if err := n.status(); err != nil {
			t.Errorf("on a fine node: %v", err)
		}
		if _, err := os.Stat(n.stateDir); err == nil {
			if entries := n.sh("find %s -type f", n.stateDir); entries != "" {
				t.Errorf("STATUS has written %s", entries)
			}
		}
		if err := n.status(conf{"node": "worker9"}); code(err) != 50 || !strings.Contains(err.Error(), "worker9") {
			t.Errorf("a node that is not in the file: %v", err)
		}
		good, err := os.ReadFile(n.file)
		if err != nil {
			t.Fatal(err)
		}
		n.write(string(good) + "color: red\n")
		if err := n.status(); code(err) != 50 || !strings.Contains(err.Error(), n.file+":") {
			t.Errorf("an invalid file: %v", err)
		}
		n.sh("rm %s", n.file)
		if err := n.status(); code(err) != 50 || !strings.Contains(err.Error(), n.file) {
			t.Errorf("a missing file: %v", err)
		}
		n.write(string(good))
		if err := n.status(); err != nil {
			t.Errorf("on a node that is fine again: %v", err)
		}
	})
}

// Where no address is left, STATUS says so before an ADD fails; ADD says how many
// are in use, leaves nothing behind, and works again when one is free.
func TestNoAddressLeft(t *testing.T) {
	for _, c := range []struct{ name, podCIDRs string }{
		{"IPv4", "10.244.1.0/29"},
		{"IPv6", `"fd00:10:244:1::/125"`},
		{"both, IPv4 first", `10.244.1.0/29, "fd00:10:244:1::/64"`},
		{"both, IPv6 first", `10.244.1.0/24, "fd00:10:244:1::/125"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				n := newNode(t, layout{podCIDRs: c.podCIDRs})
				var pods []pod
				seen := map[string]bool{}
				var err error
				for i := range 9 {
					if i > 0 && n.status() != nil {
						break
					}
					p := n.pod(fmt.Sprintf("pod%d", i))
					r, adderr := p.tryAdd()
					if adderr != nil {
						t.Fatalf("ADD %d, and STATUS was content: %v", i, adderr)
					}
					for _, a := range addresses(r) {
						if seen[a] {
							t.Errorf("%s is given twice", a)
						}
						seen[a] = true
					}
					pods = append(pods, p)
				}
				if len(pods) < 5 { // of 8, less the network's, the broadcast address and a gateway
					t.Errorf("only %d pods have an address", len(pods))
				}
				if err := n.status(); code(err) != 51 {
					t.Errorf("STATUS with %d pods: %v", len(pods), err)
				}
				before := n.holds()
				late := n.pod("late")
				_, err = late.tryAdd()
				if code(err) != 11 || !strings.Contains(err.Error(), fmt.Sprint(len(pods))) {
					t.Errorf("ADD with %d pods: code %d: %v", len(pods), code(err), err)
				}
				n.same(before, "the ADD that found no address")
				pods[2].del()
				if err := n.status(); err != nil {
					t.Errorf("STATUS after a DEL: %v", err)
				}
				late.add()
			})
		})
	}
}
