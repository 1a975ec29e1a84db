package lab_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/lab"
)

// Services work, and each side sees whom it should, with kube-proxy's chains beside
// plumb's on node1: in nftables mode, and in iptables mode by either iptables.
func TestBesideKubeProxy(t *testing.T) {
	c := newCluster(t, nil)
	c.ok("up")
	client := &lab.Client{Dir: c.dir()}
	dir, err := filepath.Abs("testdata/kube-proxy")
	if err != nil {
		t.Fatal(err)
	}
	c.ok("exec", "internet", "--", "ip", "route", "add", "198.51.100.10", "via", "172.18.0.2")
	for _, mode := range []struct{ name, load, unload string }{
		{"nftables", "nft -f nftables.nft", "nft delete table ip kube-proxy"},
		{"iptables-nft", "iptables-nft-restore iptables.rules", "iptables-nft -t nat -F; iptables-nft -F"},
		{"iptables-legacy", "iptables-legacy-restore iptables.rules", "iptables-legacy -t nat -F; iptables-legacy -F"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			c := *c
			c.t = t
			c.ok("exec", "node1", "--", "sh", "-ec", "cd "+dir+"; "+mode.load)
			for _, x := range []struct{ from, at, want, why string }{
				{"a1", "10.96.0.10", "10.244.1.10", "a pod calls a service: the pod behind it sees who called"},
				{"a2", "10.96.0.11", "10.244.1.11", "likewise on the same node"},
				{"a1", "10.96.0.11", "172.18.0.2", "a pod reaches itself by its service: kube-proxy masquerades"},
				{"a1", "10.96.0.12", "172.18.0.2", "a service outside the pools: plumb masquerades"},
				{"a1", "203.0.113.10", "172.18.0.2", "outside: plumb masquerades"},
				{"a1", "10.244.3.10", "10.244.1.10", "pod to pod: nobody does"},
				{"node1", "10.96.0.10", "172.18.0.2", "the node itself calls a service"},
				{"internet", "198.51.100.10", "172.18.0.2", "from outside, by an external address: kube-proxy masquerades"},
			} {
				seen, err := client.Whoami(t.Context(), x.from, netip.MustParseAddr(x.at))
				if err != nil || seen.String() != x.want {
					t.Errorf("%s: %s is seen at %s as %s (%v), want %s", x.why, x.from, x.at, seen, err, x.want)
				}
			}
			if _, err := client.Whoami(t.Context(), "a1", netip.MustParseAddr("10.96.0.13")); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("a service without endpoints: %v", err)
			}
			// The services are no change that concerns plumb.
			c.ok("exec", "node1", "--", "plumb", "diff")
			c.ok("exec", "node1", "--", "plumb", "status")
			c.ok("exec", "node1", "--", "sh", "-ec", mode.unload)
		})
	}
}
