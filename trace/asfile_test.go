package trace

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state/desired"
	"github.com/plumbnet/plumb/trace/facts"
)

// Where no node can be asked the file answers for all: what it does not know (what a
// node has learned by BGP, its own routes, its pods) is no reason to call a packet lost.
func TestNodesThatCannotBeAsked(t *testing.T) {
	nobody := func(context.Context, string, facts.Question) (*facts.Node, error) {
		return nil, fmt.Errorf("%w: it is only on paper", ErrUnreachable)
	}
	for _, c := range []struct{ name, pool, to, want string }{
		{"a pod by a static route", "reachability: static", "10.244.2.7", "10.244.2.0/24 via 172.18.0.2 … delivered to the pod with 10.244.2.7 on n2, if n1 and n2 are as the file has it"},
		{"a pod by BGP", "reachability: bgp", "10.244.2.7", "proto plumb-bgp, if it was learned … node n2 … delivered to the pod with 10.244.2.7 on n2, if"},
		{"a pod by BGP and routers", "reachability: bgp", "10.244.3.7", "proto plumb-bgp, if it was learned … node n3 … delivered to the pod with 10.244.3.7 on n3, if"},
		{"a pod through a tunnel", "reachability: static\n    encapsulation: vxlan", "10.244.3.7", "dev plumb-vxlan … node n3 … in plumb-vxlan … delivered to the pod with 10.244.3.7 on n3, if"},
		{"a pod through a tunnel, by BGP", "reachability: bgp\n    encapsulation: vxlan", "10.244.3.7", "dev plumb-vxlan proto plumb-bgp … in plumb-vxlan … delivered to the pod with 10.244.3.7 on n3, if"},
		{"nothing leads there", "reachability: static", "10.244.3.7", "dropped at node n1: plumb has no route to n3's podCIDR with 10.244.3.7"},
		{"nobody's podCIDR", "reachability: bgp", "10.244.9.9", "dropped at node n1: node n1 has no route to 10.244.9.9; mend: it is in a pool, but in no node's podCIDR"},
		{"outside", "reachability: bgp", "203.0.113.1", "a route of its own … 172.18.0.1 is not in @masq4 … leaves the cluster by a route of its own on its uplink of n1, if n1 is as the file has it"},
		{"a node", "reachability: bgp", "172.18.0.2", "delivered to node n2, if"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(fmt.Sprintf(file, "static"), "reachability: static", c.pool, 1)
			text = strings.Replace(text, "endpoints:", "  - {name: n3, addresses: [172.19.0.3/24], podCIDRs: [10.244.3.0/24]}\nendpoints:", 1)
			f, problems := desired.Parse([]desired.Source{{Name: "plumb.yaml", Data: []byte(text)}})
			if f == nil {
				t.Fatal(problems)
			}
			p := facts.Packet{Dst: netip.MustParseAddr(c.to), Proto: "icmp"}
			r, err := Follow(context.Background(), f, Start{Node: "n1", Name: "n1"}, c.to, p, nobody)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := r.Write(&out, nil); err != nil {
				t.Fatal(err)
			}
			rest := strings.Join(strings.Fields(out.String()), " ")
			for part := range strings.SplitSeq(c.want, " … ") {
				var ok bool
				if _, rest, ok = strings.Cut(rest, part); !ok {
					t.Fatalf("no %q in\n%s", part, out.String())
				}
			}
			if strings.Contains(out.String(), "invalid IP") {
				t.Error(out.String())
			}
		})
	}
}

// What kube-proxy makes of a service's address is told by a probe alone, and said then.
func TestAProbeThatIsSentElsewhere(t *testing.T) {
	service, pod := netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("10.244.2.9")
	seen := func(dst netip.Addr, chain, verdict, rule string) facts.Seen {
		return facts.Seen{ID: 7, Table: "ip kube-proxy", Chain: chain, Type: "rule", Verdict: verdict, Rule: rule, Src: netip.MustParseAddr("10.244.1.1"), Dst: dst}
	}
	p := Probe{Sent: facts.Sent{Answered: true, Text: "connected after 1ms"}, Nodes: []Watched{{Node: "n1", Seen: []facts.Seen{
		seen(service, "nat-prerouting", "jump services", "jump services"),
		seen(service, "services", "accept", `tcp dport 80 [lookup 1="__map0" 2=00000001] [nat 1=00000001] [counter]`),
		seen(pod, "forward", "accept", ""),
	}}}}
	r := &Trace{From: "default/web", Outcome: Left, Packet: packet("10.244.1.1", service.String(), "tcp", 0), Summary: "leaves the cluster", Warnings: []string{"maybe a service: " + liveShows}}
	r.Compare(p)
	const want = "delivered to 10.244.2.9: chain ip kube-proxy services of n1 sends it there (`plumb trace default/web 10.244.2.9` follows it); probe: connected after 1ms"
	if r.Summary != want || r.Outcome != Delivered || len(r.Warnings) > 0 {
		t.Errorf("%s: %s %q\nwant %s", r.Outcome, r.Summary, r.Warnings, want)
	}
	var out strings.Builder
	r.Probe.steps(&out, func(_ Colour, s string) string { return s })
	if !strings.Contains(out.String(), "tcp dport 80 [lookup] [dnat or snat] counter") {
		t.Error(out.String())
	}
}
