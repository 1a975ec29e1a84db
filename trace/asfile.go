package trace

import (
	"fmt"
	"net/netip"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
	"github.com/plumbnet/plumb/trace/facts"
)

// FromFile answers for a node that cannot be asked: what the file makes of it. Of
// its pods the file knows none, so any address of its podCIDRs is taken for one's.
func FromFile(f *desired.File, node string, q facts.Question, why string) (*facts.Node, error) {
	wanted, _, err := render.Node(f, node, render.Host{Elsewhere: true})
	if err != nil {
		return nil, err
	}
	n := &facts.Node{Node: node, NotAsked: why, Sysctl: map[string]string{}, Uplinks: []facts.Device{}}
	n.NFT.Origins = map[string]string{}
	if self, ok := f.Node(node); ok && q.Local && !q.Packet.Src.IsValid() {
		for _, a := range self.Addresses {
			if a.Prefix.Addr().Is4() == q.Packet.Dst.Is4() && !q.Packet.Src.IsValid() {
				q.Packet.Src = a.Prefix.Addr() // or another of the node's
			}
		}
	}
	for _, e := range render.FileEndpoints(f, node) {
		fe := &facts.Endpoint{Endpoint: e.Endpoint, Origin: e.Origin, State: "wired"}
		if fe.Address(q.Packet.Dst) == q.Packet.Dst {
			n.Receiver = fe
		}
		if fe.ID == q.Endpoint {
			n.Sender = fe
		}
		more, _ := render.Endpoint(e.Endpoint, e.Origin, f.Settings.RouteTable, render.Host{Elsewhere: true})
		wanted = append(wanted, more...)
	}
	switch {
	case q.At.IsValid():
		n.In = &facts.Device{Name: "its uplink", Missing: true}
	case q.Dev != "":
		n.In = &facts.Device{Name: q.Dev, Missing: true}
	case q.Endpoint != "" && n.Sender != nil:
		n.In = &facts.Device{Name: n.Sender.Interface, Missing: true}
	}
	fileRoutes(n, f, node, wanted, q.Packet)
	n.Lookup.Source = q.Packet.Src
	fileNFT(n, wanted, q)
	return n, nil
}

// fileRoutes finds the longest of the wanted routes.
func fileRoutes(n *facts.Node, f *desired.File, node string, wanted []render.Wanted, p facts.Packet) {
	self, _ := f.Node(node)
	for _, a := range self.Addresses {
		if a.Prefix.Addr() == p.Dst {
			n.Lookup = facts.Lookup{Text: "local " + p.Dst.String(), Type: local, Dst: netip.PrefixFrom(p.Dst, p.Dst.BitLen()), Origin: a.Pos.String()}
			return
		}
	}
	n.Lookup, n.Back = longest(wanted, p.Dst), longest(wanted, p.Src)
	if n.Lookup.Type == state.Blackhole && n.Receiver == nil {
		// A pod's, if there is one.
		n.Lookup = facts.Lookup{
			Text: p.Dst.String() + " dev " + state.HostEndPrefix + "…, if a pod has it", Type: state.Unicast, Proto: state.ProtoPlumb,
			Dst: netip.PrefixFrom(p.Dst, p.Dst.BitLen()), Via: state.NextHop{Dev: state.HostEndPrefix + "…"}, Origin: n.Lookup.Origin,
		}
	}
	if n.Lookup.Text != "" {
		return
	}
	for _, a := range self.Addresses {
		if a.Prefix.Contains(p.Dst) {
			n.Lookup = facts.Lookup{Text: a.Prefix.Masked().String() + " dev its uplink", Type: state.Unicast, Dst: a.Prefix.Masked(), Via: state.NextHop{Dev: "its uplink"}, Origin: a.Pos.String()}
			return
		}
	}
	n.Lookup = elsewhere(f, self, p.Dst)
}

// elsewhere is the way to what the file has no route to: into a pool of BGP what the
// node should have learned, out of the pools a route of the host's own.
func elsewhere(f *desired.File, self *desired.Node, dst netip.Addr) facts.Lookup {
	l := facts.Lookup{Type: state.Unicast, Via: state.NextHop{Dev: "its uplink"}}
	for i := range f.Pools {
		p := &f.Pools[i]
		if !p.CIDR.Contains(dst) {
			continue
		}
		owner, c := ownerOf(f, dst)
		if p.Reachability != "bgp" || owner == nil {
			return facts.Lookup{Error: "ENETUNREACH", Words: "the file has no route"}
		}
		l.Dst, l.Proto, l.Origin = c.Prefix, state.ProtoBGP, c.Pos.String()
		path, err := render.NewPaths(f, self, render.Host{Elsewhere: true}).To(owner, c.Prefix)
		if err == nil {
			l.Via.Gateway = path.Hop.Gateway
			if path.Tunnel() != "" {
				l.Via.Dev = path.Hop.Dev
			}
		}
		l.Text = fmt.Sprintf("%s dev %s proto %s, if it was learned", c.Prefix, l.Via.Dev, state.ProtocolName(l.Proto))
		return l
	}
	l.Text = "a route of its own, which the file does not know"
	return l
}

// ownerOf is the node with the podCIDR that an address is in.
func ownerOf(f *desired.File, a netip.Addr) (*desired.Node, desired.CIDR) {
	for i := range f.Nodes {
		for _, c := range f.Nodes[i].PodCIDRs {
			if c.Prefix.Contains(a) {
				return &f.Nodes[i], c
			}
		}
	}
	return nil, desired.CIDR{}
}

func longest(wanted []render.Wanted, a netip.Addr) facts.Lookup {
	var l facts.Lookup
	for _, w := range wanted {
		r, ok := w.Object.(state.Route)
		if !ok || !a.IsValid() || !r.Dst.Contains(a) || l.Dst.IsValid() && r.Dst.Bits() <= l.Dst.Bits() {
			continue
		}
		l = facts.Lookup{Text: words(state.String(r)), Dst: r.Dst, Type: r.Type, Proto: r.Protocol, Table: r.Table, Via: r.NextHop, Origin: w.Origin}
		if r.Type == state.Unicast && l.Via.Dev == "" {
			l.Via.Dev = "its uplink"
		}
		if r.Type == state.Blackhole {
			l.Error, l.Words = "EINVAL", "blackhole"
		}
	}
	return l
}

// asIfSent is how a packet comes to the node of its destination where the hops between
// cannot be asked: through a tunnel, or by some routers.
func (w *walker) asIfSent(owner *desired.Node) *step {
	q := facts.Question{Packet: w.packet}
	if dev := w.n.Lookup.Via.Dev; state.IsTunnel(dev) {
		q.Dev = dev
		return &step{owner.Name, q}
	}
	for _, a := range owner.Addresses {
		if !q.At.IsValid() || a.Prefix.Addr().Is4() == w.packet.Dst.Is4() && q.At.Is4() != w.packet.Dst.Is4() {
			q.At = a.Prefix.Addr()
		}
	}
	return &step{owner.Name, q}
}

func fileNFT(n *facts.Node, wanted []render.Wanted, q facts.Question) {
	for _, w := range wanted {
		switch o := w.Object.(type) {
		case state.Table:
			n.NFT.Table = true
		case state.Chain:
			n.NFT.Chains = append(n.NFT.Chains, o)
		case state.Rule:
			n.NFT.Rules = append(n.NFT.Rules, o)
			n.NFT.Origins[o.Key().ID] = w.Origin
		case state.Element:
			n.NFT.Elements = append(n.NFT.Elements, facts.Element{Element: o, Origin: w.Origin})
		}
	}
	// A pod's source check needs its route, which the file does not know.
	if n.Back.Type == state.Blackhole || n.Back.Text == "" {
		if n.In != nil {
			n.Back = facts.Lookup{Via: state.NextHop{Dev: n.In.Name}}
		}
	}
	_ = q
}
