package render

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

func parse(t *testing.T, text string) *desired.File {
	t.Helper()
	f, problems := desired.Parse([]desired.Source{{Name: "p.yaml", Data: []byte("apiVersion: plumb/v1\n" + text)}})
	if f == nil {
		t.Fatal(problems)
	}
	return f
}

// A node without a podCIDR in any pool of a tunnel has no address for it, and is told
// what that means, once for each family that it could send.
func TestATunnelWithoutAnAddress(t *testing.T) {
	for _, c := range []struct {
		name, podCIDRs, others string
		want                   []string
	}{
		{"in the pool", "[10.244.1.0/24, 'fd00:10:244:1::/64']", "[10.244.2.0/24, 'fd00:10:244:2::/64']", nil},
		{"in another pool", "[10.246.1.0/24]", "[10.244.2.0/24, 'fd00:10:244:2::/64']", []string{"plumb-vxlan has no IPv4 address", "plumb-vxlan has no IPv6 address"}},
		{"of one family", "[10.244.1.0/24]", "[10.244.2.0/24, 'fd00:10:244:2::/64']", []string{"plumb-vxlan has no IPv6 address"}},
		{"nobody to send to", "[10.246.1.0/24]", "[10.246.2.0/24]", nil},
	} {
		f := parse(t, `
pools:
  - {cidr: 10.244.0.0/16, encapsulation: vxlan}
  - {cidr: 'fd00:10:244::/56', encapsulation: vxlan}
  - {cidr: 10.246.0.0/16}
nodes:
  - {name: worker1, addresses: [172.18.0.3/16, 'fc00:f853:ccd:e793::3/64'], podCIDRs: `+c.podCIDRs+`}
  - {name: near, addresses: [172.18.0.4/16], podCIDRs: `+c.others+"}\n")
		_, warnings, err := Node(f, "worker1", worker1)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range warnings {
			if what, mend, ok := strings.Cut(w.Text, ", as node worker1 has no such podCIDR in a pool with encapsulation: vxlan"); ok && strings.Contains(mend, "give the node a podCIDR in that pool") {
				got = append(got, what)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, warnings, c.want)
		}
	}
}

// What BGP tells may lead into the tunnel to a node that has no podCIDR behind it: its
// far end is known all the same.
func TestTheFarEndOfWhatIsLearned(t *testing.T) {
	const file = `
bgp: {asn: 64512, mesh: true}
pools:
  - {cidr: 10.244.0.0/16, encapsulation: vxlan, encapsulate: crossSubnet}
  - {cidr: 10.245.0.0/16, encapsulation: vxlan}
nodes:
  - {name: worker1, addresses: [172.18.0.3/16], podCIDRs: [10.244.1.0/24, 10.245.1.0/24]}
  - {name: near, addresses: [172.18.0.4/16], podCIDRs: [10.244.2.0/24]}
`
	f := parse(t, file)
	v, err := NewView(f, "worker1", worker1)
	if err != nil {
		t.Fatal(err)
	}
	hop, _, ok, err := v.Paths.Rule()(netip.MustParsePrefix("10.245.9.9/32"), netip.MustParseAddr("172.18.0.4"))
	if !ok || err != nil || hop.Gateway != netip.MustParseAddr("10.244.2.0") || hop.Dev != state.VXLANDevice {
		t.Fatalf("the route leads to %v: %v %v", hop, ok, err)
	}
	wanted, warnings := v.Remote(&f.Nodes[1])
	has(t, "remote", text(wanted), true, "neigh 10.244.2.0 dev plumb-vxlan lladdr "+TunnelMAC("near"), "fdb "+TunnelMAC("near")+" dev plumb-vxlan dst 172.18.0.4")
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	static := parse(t, strings.Replace(file, "bgp: {asn: 64512, mesh: true}", "", 1))
	without, err := NewView(static, "worker1", worker1)
	if err != nil {
		t.Fatal(err)
	}
	wanted, _ = without.Remote(&static.Nodes[1])
	has(t, "remote, static", text(wanted), false, "neigh", "fdb")
	if v.SameRemotes(without) {
		t.Error("with BGP and without it, other nodes are the same")
	}
}
