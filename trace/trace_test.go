package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
	"github.com/plumbnet/plumb/trace/facts"
)

const file = `apiVersion: plumb/v1
pools:
  - cidr: 10.244.0.0/16
    natOutgoing: true
    reachability: %s
bgp: {asn: 64512}
nodes:
  - name: n1
    addresses: [172.18.0.1/24]
    podCIDRs: [10.244.1.0/24]
  - name: n2
    addresses: [172.18.0.2/24]
    podCIDRs: [10.244.2.0/24]
endpoints:
  - name: vm
    node: n2
    interface: tap0
    addresses: [10.244.2.9]
`

func parse(t *testing.T, reachability string) *desired.File {
	t.Helper()
	f, problems := desired.Parse([]desired.Source{{Name: "plumb.yaml", Data: fmt.Appendf(nil, file, reachability)}})
	if f == nil {
		t.Fatal(problems)
	}
	return f
}

// a is a healthy answer of n1 for a packet of its own: by its uplink to n2.
func a() *facts.Node {
	return &facts.Node{
		Node: "n1", Sysctl: map[string]string{}, NFT: facts.NFT{Table: true},
		Lookup: facts.Lookup{
			Text: "10.244.2.0/24 via 172.18.0.2 dev eth0 proto plumb-bgp", Dst: netip.MustParsePrefix("10.244.2.0/24"), Type: state.Unicast,
			Proto: state.ProtoBGP, Via: state.NextHop{Gateway: netip.MustParseAddr("172.18.0.2"), Dev: "eth0"}, Source: netip.MustParseAddr("172.18.0.1"),
			Origin: "bgp tor", BGP: &facts.Learned{Peer: "tor", Address: netip.MustParseAddr("192.0.2.1"), ASPath: []uint32{64601, 64602}},
		},
		Back:      facts.Lookup{Text: "local 172.18.0.1", Type: local},
		Out:       &facts.Device{Name: "eth0", Up: true, Carrier: true, MTU: 1500, MAC: "02:00:00:00:00:01", Addresses: []netip.Prefix{netip.MustParsePrefix("172.18.0.1/24")}},
		Neighbour: &facts.Neighbour{Addr: netip.MustParseAddr("172.18.0.2"), Dev: "eth0", MAC: "02:00:00:00:00:02", State: "REACHABLE"},
	}
}

// b is n2's answer: it has the endpoint.
func b() *facts.Node {
	e := &facts.Endpoint{Endpoint: state.Endpoint{ID: "file/vm", Name: "vm", Interface: "tap0", Addresses: []netip.Addr{netip.MustParseAddr("10.244.2.9")}}, State: "wired", Origin: "plumb.yaml:15"}
	return &facts.Node{
		Node: "n2", Sysctl: map[string]string{"net/ipv4/conf/eth0/forwarding": "1"}, NFT: facts.NFT{Table: true}, Receiver: e,
		In:      &facts.Device{Name: "eth0", Up: true, Carrier: true, MTU: 1500, MAC: "02:00:00:00:00:02"},
		Uplinks: []facts.Device{{Name: "eth0", Up: true, Carrier: true, MTU: 1500, MAC: "02:00:00:00:00:02", Addresses: []netip.Prefix{netip.MustParsePrefix("172.18.0.2/24")}}},
		Lookup:  facts.Lookup{Text: "10.244.2.9 dev tap0", Dst: netip.MustParsePrefix("10.244.2.9/32"), Type: state.Unicast, Proto: state.ProtoPlumb, Via: state.NextHop{Dev: "tap0"}},
		Out:     &facts.Device{Name: "tap0", Up: true, Carrier: true, MTU: 1500},
	}
}

// ipip puts the packet from a to b into a tunnel.
func ipip(a, b *facts.Node) {
	wire := *a.Out
	a.Tunnel = &facts.Tunnel{Outer: packet("172.18.0.1", "172.18.0.2", "ipip", 0), Lookup: facts.Lookup{Via: state.NextHop{Dev: "eth0"}}, Out: &wire, Neighbour: a.Neighbour}
	a.Neighbour = nil
	for _, d := range []*facts.Device{a.Out, b.In} {
		d.Name, d.Kind, d.MTU, d.MAC = "plumb-ipip", "ipip", 1480, ""
	}
}

// answers gives canned answers, and the way back as the file has it.
func answers(nodes ...*facts.Node) Ask {
	return func(_ context.Context, node string, q facts.Question) (*facts.Node, error) {
		for _, n := range nodes {
			if n.Node == node && q.Packet.Dst.String() == "10.244.2.9" {
				return n, nil
			}
		}
		return nil, fmt.Errorf("%w: it is only on paper", ErrUnreachable)
	}
}

// What is not easily broken for real is broken on paper.
func TestFollow(t *testing.T) {
	for _, c := range []struct {
		name         string
		reachability string
		change       func(a, b *facts.Node)
		last         string
		says         string
	}{
		{"learned by BGP", "bgp", func(_, _ *facts.Node) {}, "delivered to vm; the answer comes back", "BGP tor (192.0.2.1), AS path 64601 64602"},
		{"stale", "bgp", func(a, _ *facts.Node) { a.Lookup.BGP.Stale = true }, "delivered to vm; the answer comes back", "stale: the peer restarts"},
		{"peer down", "bgp", func(a, _ *facts.Node) {
			a.Lookup = facts.Lookup{Error: "ENETUNREACH", Words: "network is unreachable"}
			a.Sessions = []facts.Session{{Name: "tor", Address: netip.MustParseAddr("192.0.2.1"), State: "active", Error: "connection refused"}, {Name: "n2", State: "established"}}
		}, "dropped at node n1: plumb has no route to n2's podCIDR with 10.244.2.9, and learned none by BGP; peer tor (192.0.2.1) is active: connection refused; mend: `plumb bgp peers` on n1", ""},
		{"not announced", "bgp", func(a, _ *facts.Node) {
			a.Lookup = facts.Lookup{Error: "ENETUNREACH", Words: "network is unreachable"}
			a.Sessions = []facts.Session{{Name: "tor", State: "established"}}
		}, "learned none by BGP; mend: `plumb bgp routes 10.244.2.9` on n1 shows what came", ""},
		{"no warning, no route", "static", func(a, _ *facts.Node) {
			a.Lookup = facts.Lookup{Error: "ENETUNREACH", Words: "network is unreachable"}
		}, "dropped at node n1: plumb has no route to n2's podCIDR with 10.244.2.9; mend: `plumb validate`", ""},
		{"failing", "static", func(a, _ *facts.Node) {
			a.Lookup = facts.Lookup{Error: "ENETUNREACH", Words: "network is unreachable"}
			r := state.NewRoute(netip.MustParsePrefix("10.244.2.0/24"), state.TableMain, state.ProtoPlumb, state.NextHop{Gateway: netip.MustParseAddr("172.18.0.2"), Dev: "eth0"})
			a.Want = &facts.Wanted{Route: r, Text: state.String(r), Origin: "plumb.yaml:12", Trouble: "next hop 172.18.0.2 is not on-link"}
		}, "is missing in the kernel: next hop 172.18.0.2 is not on-link; mend: ", ""},
		{"prohibited", "static", func(a, _ *facts.Node) {
			a.Lookup = facts.Lookup{Error: "EACCES", Words: "permission denied", Text: "prohibit 10.244.2.0/24", Dst: netip.MustParsePrefix("10.244.2.0/24"), Type: 8, Proto: 4, Table: 100}
		}, "mend: ip route del prohibit 10.244.2.0/24 proto 4 table 100", ""},
		{"a rule that prohibits", "static", func(a, _ *facts.Node) {
			a.Lookup = facts.Lookup{Error: "EACCES", Words: "permission denied", Rule: &facts.Rule{Priority: 9, Text: "from all to 10.244.2.9 prohibit"}}
		}, "dropped at node n1: ip rule 9 refuses the packet: from all to 10.244.2.9 prohibit; mend: if it should not: ip rule del pref 9 from all to 10.244.2.9 prohibit", "x route ip rule 9: from all to 10.244.2.9 prohibit (EACCES)"},
		{"prohibited by nobody knows what", "static", func(a, _ *facts.Node) {
			a.Lookup = facts.Lookup{Error: "EACCES", Words: "permission denied"}
		}, "dropped at node n1: the kernel gives no route: permission denied", ""},
		{"a rule for the tunnel", "bgp", func(a, _ *facts.Node) {
			a.Out.Kind = "ipip"
			a.Tunnel = &facts.Tunnel{Outer: packet("172.18.0.1", "172.18.0.2", "ipip", 0), Lookup: facts.Lookup{Error: "EINVAL", Words: "invalid argument", Rule: &facts.Rule{Priority: 9, Text: "from 172.18.0.1 blackhole"}}}
		}, "dropped at node n1: ip rule 9 refuses the packet: from 172.18.0.1 blackhole", ""},
		{"a rule for the way back", "bgp", func(_, b *facts.Node) {
			b.Lookup = facts.Lookup{Error: "EINVAL", Words: "invalid argument"}
			b.Back = facts.Lookup{Error: "EINVAL", Rule: &facts.Rule{Priority: 9, Text: "from all to 172.18.0.1 blackhole"}}
			b.Sysctl["net/ipv4/conf/all/rp_filter"] = "1"
		}, "rp_filter of eth0 drops packets from 172.18.0.1: ip rule 9 (from all to 172.18.0.1 blackhole) refuses the way back; mend: if it should not: ip rule del pref 9 from all to 172.18.0.1 blackhole", ""},
		{"next hop of nobody", "static", func(a, _ *facts.Node) { a.Lookup.Via.Gateway = netip.MustParseAddr("172.18.0.77") }, "dropped at node n1: the packet goes to 172.18.0.77 on eth0, which is no node; but 10.244.2.9 is a pod's address, of node n2", ""},
		{"by a router", "bgp", func(a, _ *facts.Node) { a.Lookup.Via.Gateway = netip.MustParseAddr("172.18.0.77") }, "delivered to vm, if router 172.18.0.77 passes it on; the answer comes back", "next through router 172.18.0.77, which plumb cannot look into node n2"},
		{"by a router that is not there", "bgp", func(a, _ *facts.Node) {
			a.Lookup.Via.Gateway = netip.MustParseAddr("172.18.0.77")
			a.Neighbour = &facts.Neighbour{Addr: a.Lookup.Via.Gateway, Dev: "eth0", State: "FAILED"}
		}, "dropped at node n1: 172.18.0.77 does not answer on eth0 (FAILED)", ""},
		{"a route of the host's own by a router", "bgp", func(a, _ *facts.Node) {
			a.Lookup.Via.Gateway, a.Lookup.Proto = netip.MustParseAddr("172.18.0.77"), 4
		}, "dropped at node n1: the packet goes to 172.18.0.77 on eth0, which is no node; but 10.244.2.9 is a pod's address, of node n2", ""},
		{"by another router than plumb's", "bgp", func(a, _ *facts.Node) {
			a.Lookup.Via.Gateway = netip.MustParseAddr("172.18.0.77")
			r := state.NewRoute(a.Lookup.Dst, state.TableMain, state.ProtoBGP, state.NextHop{Gateway: netip.MustParseAddr("172.18.0.78"), Dev: "eth0"})
			a.Want = &facts.Wanted{Route: r, Text: state.String(r), Origin: "bgp tor"}
		}, "in place of plumb's route 10.244.2.0/24 via 172.18.0.78 dev eth0 proto plumb-bgp (bgp tor)", ""},
		{"a tunnel by a router", "bgp", func(a, b *facts.Node) {
			a.Out.Kind, a.Out.MTU, b.In.Kind = "ipip", 1480, "ipip"
			a.Tunnel = &facts.Tunnel{Outer: packet("172.18.0.1", "172.18.0.2", "ipip", 0), Lookup: facts.Lookup{Via: state.NextHop{Gateway: netip.MustParseAddr("172.18.0.77"), Dev: "eth0"}}}
		}, "delivered to vm, if router 172.18.0.77 passes it on; the answer comes back", "through router 172.18.0.77"},
		{"several next hops", "bgp", func(a, _ *facts.Node) { a.Lookup.Hops = 2 }, "delivered to vm", "(of these, for this packet: via 172.18.0.2 dev eth0)"},
		{"no carrier", "bgp", func(a, _ *facts.Node) { a.Out.Carrier = false }, "dropped at node n1: device eth0 has no carrier", "eth0 up, no carrier"},
		{"martian", "bgp", func(_, b *facts.Node) {
			b.Lookup = facts.Lookup{Error: "EINVAL", Words: "invalid argument"}
			b.Sysctl["net/ipv4/conf/all/rp_filter"] = "0"
		}, "dropped at node n2: the kernel takes the packet from 172.18.0.1 to 10.244.2.9 for a martian", ""},
		{"loose rp_filter", "bgp", func(_, b *facts.Node) {
			b.Lookup = facts.Lookup{Error: "EINVAL", Words: "invalid argument"}
			b.Back = facts.Lookup{Error: "ENETUNREACH"}
			b.Sysctl["net/ipv4/conf/all/rp_filter"] = "2"
		}, "dropped at node n2: rp_filter of eth0 drops packets from 172.18.0.1: there is no route back", ""},
		{"forwarding off on the uplink", "bgp", func(_, b *facts.Node) {
			b.Sysctl = map[string]string{"net/ipv4/conf/eth0/forwarding": "0", "net/ipv4/ip_forward": "1"}
		}, "dropped at node n2: forwarding is off (net.ipv4.conf.eth0.forwarding = 0); mend: sysctl -w net.ipv4.conf.eth0.forwarding=1 (plumb sets no parameters of eth0", ""},
		{"forwarding off", "bgp", func(_, b *facts.Node) {
			b.Sysctl = map[string]string{"net/ipv4/conf/eth0/forwarding": "0", "net/ipv4/ip_forward": "0"}
		}, "dropped at node n2: forwarding is off (net.ipv4.ip_forward = 0); mend: `plumb apply` puts it right", ""},
		{"forwarding off on the tunnel", "bgp", func(a, b *facts.Node) {
			ipip(a, b)
			b.Sysctl = map[string]string{"net/ipv4/conf/plumb-ipip/forwarding": "0", "net/ipv4/ip_forward": "1"}
		}, "dropped at node n2: forwarding is off (net.ipv4.conf.plumb-ipip.forwarding = 0); mend: `plumb apply` puts it right", ""},
		{"nftables unreadable", "bgp", func(_, b *facts.Node) { b.NFT.Err = "CAP_NET_ADMIN is missing" }, "delivered to vm", "! forward not known: CAP_NET_ADMIN is missing"},
		{"a rule nobody knows", "bgp", func(_, b *facts.Node) {
			b.NFT.Chains = []state.Chain{{Name: "x", Type: "filter", Hook: "forward"}}
			b.NFT.Rules = []state.Rule{{Chain: "x", Expr: "quota over 5 mbytes drop"}}
		}, "delivered to vm", `! forward not known what this rule does ("quota")`},
		{"no forwarding entry", "bgp", func(a, _ *facts.Node) {
			a.Out.Kind, a.Out.Name = "vxlan", "plumb-vxlan"
			a.Tunnel = &facts.Tunnel{MAC: "02:00:00:00:00:02"}
		}, "dropped at node n1: plumb-vxlan has no forwarding entry for 02:00:00:00:00:02", ""},
		{"no route to the tunnel's end", "bgp", func(a, _ *facts.Node) {
			a.Out.Kind = "ipip"
			a.Tunnel = &facts.Tunnel{Outer: packet("172.18.0.1", "172.18.0.2", "ipip", 0), Lookup: facts.Lookup{Error: "ENETUNREACH", Words: "network is unreachable"}}
		}, "dropped at node n1: there is no route to the tunnel's other end 172.18.0.2: network is unreachable", "172.18.0.1 > 172.18.0.2 (IP in IP)"},
		{"tunnel to nobody", "bgp", func(a, _ *facts.Node) {
			a.Out.Kind = "ipip"
			a.Tunnel = &facts.Tunnel{Outer: packet("172.18.0.1", "172.18.0.77", "ipip", 0)}
		}, "dropped at node n1: the tunnel's other end 172.18.0.77 is no node of the file", ""},
		{"tunnel's wire too narrow", "bgp", func(a, b *facts.Node) {
			a.Out.Kind, a.Out.MTU = "ipip", 1490
			a.Tunnel = &facts.Tunnel{Outer: packet("172.18.0.1", "172.18.0.2", "ipip", 0), Out: &facts.Device{Name: "eth0", Up: true, Carrier: true, MTU: 1500}}
			b.In.Kind = "ipip"
		}, "delivered to vm", "with 20 bytes of its header a full packet does not fit eth0 (mtu 1500)"},
		{"tunnel's far end without its address", "bgp", func(a, b *facts.Node) {
			ipip(a, b)
			b.Uplinks = nil
		}, "dropped at node n2: no device of n2 has the address 172.18.0.2", ""},
		{"tunnel's far end down", "bgp", func(a, b *facts.Node) {
			ipip(a, b)
			b.Uplinks[0].Up = false
		}, "dropped at node n2: device eth0 is down", ""},
		{"tunnel to another MAC address", "bgp", func(a, b *facts.Node) {
			ipip(a, b)
			a.Tunnel.Neighbour.MAC = "02:00:00:00:00:03"
		}, "dropped at node n2: node n1 sends to 02:00:00:00:00:03, and eth0 has 02:00:00:00:00:02", ""},
		{"tunnel to an address on the loopback device", "bgp", func(a, b *facts.Node) {
			ipip(a, b)
			b.Uplinks[0].Name, b.Uplinks[0].MAC, b.Uplinks[0].MTU = "lo", "00:00:00:00:00:00", 65536
		}, "delivered to vm; the answer comes back", ""},
		{"tunnel by a router to another MTU", "bgp", func(a, b *facts.Node) { // which tells the sender
			ipip(a, b)
			a.Tunnel.Lookup.Via.Gateway, b.Uplinks[0].MTU = netip.MustParseAddr("172.18.0.77"), 1400
		}, "delivered to vm, if router 172.18.0.77 passes it on", ""},
		{"tunnel to another MTU", "bgp", func(a, b *facts.Node) {
			ipip(a, b)
			b.Uplinks[0].MTU = 1400
		}, "dropped at node n2: packets of more than 1380 bytes vanish: eth0 of node n1 has mtu 1500, and sends to eth0 with mtu 1400, of which the tunnel's header takes 20; mend: give both ends the same: ip link set eth0 mtu 1500", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n1, n2 := a(), b()
			c.change(n1, n2)
			p := facts.Packet{Dst: netip.MustParseAddr("10.244.2.9"), Proto: "icmp"}
			r, err := Follow(context.Background(), parse(t, c.reachability), Start{Node: "n1", Name: "n1"}, "vm", p, answers(n1, n2))
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if err := r.Write(&text, nil); err != nil {
				t.Fatal(err)
			}
			flat := strings.Join(strings.Fields(text.String()), " ")
			lines := strings.Split(strings.TrimSpace(text.String()), "\n")
			if last := lines[len(lines)-1]; !strings.Contains(last, c.last) || !strings.Contains(flat, c.says) {
				t.Errorf("want %q, %q\n%s", c.last, c.says, text.String())
			}
		})
	}
}

// An agent that answers with an error ends the trace: it is no packet's fault.
func TestFollowFails(t *testing.T) {
	boom := errors.New("boom")
	_, err := Follow(context.Background(), parse(t, "static"), Start{Node: "n1"}, "", packet("10.244.1.1", "10.244.2.9", "icmp", 0),
		func(context.Context, string, facts.Question) (*facts.Node, error) { return nil, boom })
	if !errors.Is(err, boom) || err.Error() != "node n1: boom" {
		t.Error(err)
	}
}

// A real packet has the last word.
func TestCompare(t *testing.T) {
	drop := facts.Seen{Table: "ip filter", Chain: "FORWARD", Type: "rule", Verdict: "drop", Rule: "ip daddr 10.244.2.9 drop", Handle: 7}
	for _, c := range []struct {
		name string
		ok   bool
		p    Probe
		udp  bool
		want string
		bad  bool
	}{
		{"answered", true, Probe{Sent: facts.Sent{Answered: true, Text: "echo reply after 1ms"}}, false, "delivered; probe: echo reply after 1ms", false},
		{"dropped by a rule", true, Probe{Nodes: []Watched{{Node: "n2", Seen: []facts.Seen{drop}}}}, false, "dropped at node n2: nftables chain ip filter FORWARD drops the probe: ip daddr 10.244.2.9 drop", true},
		{"silent", true, Probe{Sent: facts.Sent{Text: "no answer within 1s"}, Nodes: []Watched{{Node: "n2", Seen: []facts.Seen{{Verdict: "accept"}}}}}, false, "unanswered: no answer within 1s; nftables dropped it nowhere, and saw it last on node n2", true},
		{"UDP", true, Probe{Sent: facts.Sent{Text: "sent; of UDP no answer is expected"}}, true, "delivered; probe: sent; of UDP no answer is expected", false},
		{"not sent", true, Probe{Err: "not permitted"}, false, "delivered", false},
		{"blocked by iptables on the node", true, Probe{Sent: facts.Sent{Text: "not sent", Blocked: true}}, true, "dropped at node n1: the sender's own netfilter drops the probe", true},
		{"blocked by a rule that was seen", true, Probe{Sent: facts.Sent{Text: "not sent", Blocked: true}, Nodes: []Watched{{Node: "n1", Seen: []facts.Seen{drop}}}}, false, "dropped at node n1: nftables chain ip filter FORWARD drops the probe: ip daddr 10.244.2.9 drop", true},
		{"as foretold", false, Probe{Sent: facts.Sent{Text: "no answer within 1s"}}, false, "dropped", true},
	} {
		r := &Trace{Outcome: Delivered, Summary: "delivered", Packet: packet("10.244.1.1", "10.244.2.9", "icmp", 0), Hops: []Hop{{Place: "node n1"}}}
		if !c.ok {
			r.Outcome, r.Summary = Dropped, "dropped"
		}
		if c.udp {
			r.Packet.Proto = "udp"
		}
		r.Compare(c.p)
		if r.Summary != c.want || r.OK() == c.bad {
			t.Errorf("%s: %s: %s\nwant %s", c.name, r.Outcome, r.Summary, c.want)
		}
	}
}

// An answer to a probe is more than what the nodes can tell of a router between them.
func TestCompareByRouters(t *testing.T) {
	router := []netip.Addr{netip.MustParseAddr("172.18.0.77")}
	made := func() *Trace {
		r := &Trace{Outcome: Delivered, Packet: packet("10.244.1.1", "10.244.2.9", "icmp", 0), Routers: router, Answer: &Trace{Routers: append(router, router[0].Next())}}
		r.Summary = "delivered" + r.ifRouters() + "; the answer comes back" + r.Answer.ifRouters()
		return r
	}
	r := made()
	if want := "delivered, if router 172.18.0.77 passes it on; the answer comes back, if routers 172.18.0.77 and 172.18.0.78 pass it on"; r.Summary != want {
		t.Errorf("%s\nwant %s", r.Summary, want)
	}
	r.Compare(Probe{Sent: facts.Sent{Answered: true, Text: "echo reply after 1ms"}})
	if want := "delivered; the answer comes back; probe: echo reply after 1ms"; r.Summary != want {
		t.Errorf("%s\nwant %s", r.Summary, want)
	}
	r = made()
	r.Compare(Probe{Sent: facts.Sent{Text: "no answer within 1s"}})
	if want := "look at router 172.18.0.77, which plumb cannot look into: has it a route to 10.244.2.9, and one back to 10.244.1.1?"; r.OK() || r.Fault.Mend != want {
		t.Errorf("%+v\nwant %s", r.Fault, want)
	}
}

// Who is meant by a name.
func TestFind(t *testing.T) {
	addr := netip.MustParseAddr
	d := &Directory{File: parse(t, "static"), Missing: []string{"n2"}, Endpoints: []Endpoint{
		{Node: "n1", ID: "1", Name: "default/web", Addresses: []netip.Addr{addr("10.244.1.1")}},
		{Node: "n1", ID: "2", Name: "other/web", Addresses: []netip.Addr{addr("10.244.1.2")}},
		{Node: "n1", ID: "3", Name: "default/db", Addresses: []netip.Addr{addr("10.244.1.3")}},
		{Node: "n1", ID: "4", Name: "default/n2"},
		{Node: "n2", ID: "file/vm", Name: "vm", Addresses: []netip.Addr{addr("10.244.2.9")}},
	}}
	for _, c := range []struct{ name, want string }{
		{"default/web", "n1 1"},
		{"db", "n1 3"},
		{"vm", "n2 file/vm"},
		{"n1", "n1 "},
		{"10.244.1.2", "n1 2"},
		{"172.18.0.2", "n2 "},
		{"192.0.2.1", " "},
		{"web", `"web" is the name of several pods (default/web, other/web); give one with its namespace`},
		{"n2", `"n2" is a node and a pod (default/n2); give the pod with its namespace, or the node's address`},
		{"nobody", "no node of the file; the pods of n2 are not known here: give an address"},
	} {
		e, err := d.Find(c.name)
		got := e.Node + " " + e.Endpoint
		if err != nil {
			got = err.Error()
		}
		if !strings.HasSuffix(got, c.want) || err == nil && got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Colours are where the caller wants them, and nowhere else.
func TestColours(t *testing.T) {
	r := &Trace{From: "a", To: "b", Outcome: Dropped, Summary: "dropped", Fault: &Fault{Mend: "mend it"}, Hops: []Hop{{Place: "node n1", Steps: []Step{{Name: "route", Text: "x", Mark: Bad}}}}}
	var plain, painted strings.Builder
	if err := errors.Join(r.Write(&plain, nil), r.Write(&painted, func(c Colour, s string) string { return fmt.Sprintf("<%d %s>", c, s) })); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plain.String(), "<") || !strings.Contains(painted.String(), "<4 x route       x>") || !strings.HasSuffix(painted.String(), "<4 dropped>; mend: mend it\n") {
		t.Errorf("%s\n%s", plain.String(), painted.String())
	}
}
