package render

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// steps gives what worker1 wants before, in each step of a change, and after it.
func steps(t *testing.T, before, after string) (own, remote map[string]string) {
	t.Helper()
	render := func(pool string) ([]Wanted, []Wanted) {
		f, problems := desired.Parse([]desired.Source{{Name: "p.yaml", Data: []byte(`
apiVersion: plumb/v1
pools:
  - {cidr: 10.244.0.0/16` + pool + `}
nodes:
  - {name: worker1, addresses: [172.18.0.3/16], podCIDRs: [10.244.1.0/24]}
  - {name: worker2, addresses: [172.18.0.4/16], podCIDRs: [10.244.2.0/24]}
`)}})
		if f == nil {
			t.Fatal(problems)
		}
		v, err := NewView(f, "worker1", worker1)
		if err != nil {
			t.Fatal(err)
		}
		own, _ := v.Node()
		remote, _ := v.Remote(&f.Nodes[1])
		return own, remote
	}
	ownBefore, remoteBefore := render(before)
	ownAfter, remoteAfter := render(after)
	held, _ := Hold(remoteBefore, remoteAfter, Tunnels(ownAfter, ownBefore))
	lingering, _ := StillFrom(remoteBefore, remoteAfter)
	return map[string]string{"change": text(Linger(ownBefore, ownAfter)), "after": text(ownAfter)},
		map[string]string{"hold": text(held), "linger": text(lingering), "after": text(remoteAfter)}
}

func text(wanted []Wanted) string {
	var lines []string
	for _, w := range wanted {
		lines = append(lines, state.String(w.Object))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func has(t *testing.T, what, text string, want bool, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) != want {
			t.Errorf("%s: has %q: %v\n%s", what, p, !want, text)
		}
	}
}

// Into a tunnel: it is opened first, and packets go the old way until all can follow.
func TestIntoATunnel(t *testing.T) {
	own, remote := steps(t, "", ", encapsulation: vxlan")
	has(t, "own, at once", own["change"], true, "link plumb-vxlan", "udp dport 4789 ip saddr != @nodes4 drop")
	has(t, "held", remote["hold"], true, "route 10.244.2.0/24 via 172.18.0.4 dev eth0", "fdb ", "neigh 10.244.2.0")
	has(t, "held", remote["hold"], false, "onlink")
	has(t, "after", remote["after"], true, "route 10.244.2.0/24 via 10.244.2.0 dev plumb-vxlan onlink")
}

// Out of one: routes move at once, and the tunnel stays open, and guarded.
func TestOutOfATunnel(t *testing.T) {
	own, remote := steps(t, ", encapsulation: vxlan", "")
	has(t, "own, at once", own["change"], true, "link plumb-vxlan", "address 10.244.1.0/32 dev plumb-vxlan",
		"sysctl net.ipv4.conf.plumb-vxlan", "set inet plumb nodes4", "chain inet plumb input",
		"rule inet plumb input index 0 udp dport 4789 ip saddr != @nodes4 drop", "chain inet plumb tunnels",
		"rule inet plumb tunnels index 1 udp dport 4789 ip daddr @nodes4 ct status dnat drop", "element inet plumb nodes4 { 172.18.0.3 }")
	has(t, "own, after", own["after"], false, "plumb-vxlan", "nodes4", "input", "tunnels")
	has(t, "lingering", remote["linger"], true, "route 10.244.2.0/24 via 172.18.0.4 dev eth0", "element inet plumb nodes4 { 172.18.0.4 }")
	has(t, "lingering", remote["linger"], false, "fdb ", "neigh ")
	has(t, "after", remote["after"], false, "nodes4")
	if remote["hold"] != remote["after"] {
		t.Errorf("held: %s", remote["hold"])
	}
}

// From one to another: both are open, and what the old way needs stays.
func TestFromTunnelToTunnel(t *testing.T) {
	own, remote := steps(t, ", encapsulation: vxlan", ", encapsulation: ipip")
	has(t, "own, at once", own["change"], true, "link plumb-vxlan", "link plumb-ipip", "udp dport 4789 ip saddr != @nodes4 drop", "ip protocol 4 ip saddr != @nodes4 drop")
	has(t, "held", remote["hold"], true, "route 10.244.2.0/24 via 10.244.2.0 dev plumb-vxlan onlink", "fdb ", "neigh 10.244.2.0")
	has(t, "after", remote["after"], true, "route 10.244.2.0/24 via 172.18.0.4 dev plumb-ipip onlink")
	has(t, "after", remote["after"], false, "fdb ", "neigh ")
}

// Nothing to hand over: nothing is held.
func TestSameTunnel(t *testing.T) {
	own, remote := steps(t, ", encapsulation: vxlan", ", encapsulation: vxlan, encapsulate: crossSubnet")
	if own["change"] != own["after"] || remote["hold"] != remote["after"] || remote["linger"] != remote["after"] {
		t.Errorf("own %s, remote %s", own["change"], remote["hold"])
	}
}

// A learned route is held as it is until it may go into the new tunnel.
func TestLearnedRoutesAreHeld(t *testing.T) {
	prefix, node := netip.MustParsePrefix("10.244.2.0/24"), netip.MustParseAddr("172.18.0.4")
	through := func(dev string) NextHopRule {
		return func(netip.Prefix, netip.Addr) (state.NextHop, uint32, bool, error) {
			return state.NextHop{Gateway: node, Dev: dev, OnLink: true}, 1400, true, nil
		}
	}
	missing := errors.New("no tunnel")
	lacks := func(netip.Prefix, netip.Addr) (state.NextHop, uint32, bool, error) {
		return state.NextHop{}, 0, true, missing
	}
	fresh := map[string]bool{"plumb-ipip": true}
	for _, c := range []struct {
		name         string
		earlier, now NextHopRule
		fresh        map[string]bool
		dev          string // where it leads; empty: as the host's routes do
		err          error
	}{
		{"from the wire", nil, through("plumb-ipip"), fresh, "", nil},
		{"from a tunnel", through("plumb-vxlan"), through("plumb-ipip"), fresh, "plumb-vxlan", nil},
		{"into a tunnel that is there", nil, through("plumb-vxlan"), fresh, "plumb-vxlan", nil},
		{"nothing is fresh", through("plumb-vxlan"), through("plumb-ipip"), nil, "plumb-ipip", nil},
		{"it cannot be made", through("plumb-vxlan"), lacks, fresh, "", missing},
	} {
		hop, _, ok, err := HoldRule(c.earlier, c.now, c.fresh)(prefix, node)
		if hop.Dev != c.dev || ok != (c.dev != "" || c.err != nil) || !errors.Is(err, c.err) {
			t.Errorf("%s: %v %v %v", c.name, hop, ok, err)
		}
	}
	if HoldRule(through("plumb-vxlan"), nil, fresh) != nil {
		t.Error("a rule where there is none")
	}
}

// While learned routes wait, who is at the old tunnel's other end stays known.
func TestStillThroughTheOldTunnel(t *testing.T) {
	old := []Wanted{
		{Object: state.FDB{MAC: "02:00:00:00:00:02", Dev: "plumb-vxlan", Dst: netip.MustParseAddr("172.18.0.4")}},
		{Object: state.Neigh{Addr: netip.MustParseAddr("10.244.2.0"), Dev: "plumb-vxlan", MAC: "02:00:00:00:00:02"}},
		{Object: state.NewRoute(netip.MustParsePrefix("10.244.2.0/24"), state.TableMain, state.ProtoPlumb, state.NextHop{Dev: "plumb-vxlan"})},
	}
	got, more := StillThrough(old, nil, map[string]bool{"plumb-vxlan": true})
	if !more || len(got) != 2 {
		t.Errorf("%v: %s", more, text(got))
	}
	if got, more := StillThrough(old, old[:1], map[string]bool{"plumb-ipip": true}); more || len(got) != 1 {
		t.Errorf("another device: %v: %s", more, text(got))
	}
}
