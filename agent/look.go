package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/kernel/path"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace/facts"
)

// looker answers what becomes of a packet on this node: the kernel is asked, and
// what plumb knows says where its answers come from.
type looker struct {
	node string
	// know calls f where engine and sources may be read.
	know func(ctx context.Context, f func(*reconcile.Engine, *sources)) error
	// bgp is what the speaker knows; nil where nobody speaks BGP here.
	bgp bgpKnowledge
}

// bgpKnowledge is what a trace asks of a BGP speaker.
type bgpKnowledge interface {
	// Learned says where a route in use comes from; nil where it is not known.
	Learned(ctx context.Context, p netip.Prefix) *facts.Learned
	Sessions() []facts.Session
}

// Look answers a question about a packet, without an agent.
func (o *Once) Look(ctx context.Context, q facts.Question) (*facts.Node, error) {
	if err := o.engine.Read(ctx); err != nil {
		return nil, err
	}
	return o.looker().look(ctx, q)
}

// IsNode says whether this host has an address of the node.
func (o *Once) IsNode() bool {
	n, ok := o.Loaded.File.Node(o.sources.node)
	return ok && o.sources.host.Has(n)
}

func (o *Once) looker() *looker {
	return &looker{node: o.sources.node, know: func(_ context.Context, f func(*reconcile.Engine, *sources)) error {
		f(o.engine, o.sources)
		return nil
	}}
}

func (a *agent) looker() *looker {
	return &looker{node: a.Node, bgp: spoken{a}, know: func(ctx context.Context, f func(*reconcile.Engine, *sources)) error {
		return a.loop.Ask(ctx, func(e *reconcile.Engine) { f(e, a.sources) })
	}}
}

// Endpoints gives the endpoints of this node, without an agent.
func (o *Once) Endpoints() []EndpointStatus { return o.sources.endpointStatus(nil) }

// look is one question's way through.
func (l *looker) look(ctx context.Context, q facts.Question) (*facts.Node, error) {
	n := &facts.Node{Node: l.node, Sysctl: map[string]string{}, Uplinks: []facts.Device{}}
	s := sight{looker: l, q: q, n: n, packet: q.Packet}
	if err := l.know(ctx, s.known); err != nil {
		return nil, err
	}
	if q.Endpoint != "" && n.Sender == nil {
		return nil, fmt.Errorf("node %s has no endpoint %s", l.node, q.Endpoint)
	}
	if err := s.kernel(ctx); err != nil {
		return nil, err
	}
	s.nft(ctx)
	if err := l.know(ctx, s.origins); err != nil {
		return nil, err
	}
	if l.bgp == nil {
		return n, nil
	}
	n.Sessions = l.bgp.Sessions()
	for _, way := range []*facts.Lookup{&n.Lookup, &n.Back} {
		if way.Proto == state.ProtoBGP {
			way.BGP = l.bgp.Learned(ctx, way.Dst)
		}
	}
	return n, nil
}

// sight is what is seen while a question is answered.
type sight struct {
	*looker
	q       facts.Question
	n       *facts.Node
	packet  facts.Packet
	uplinks []netip.Addr // the node's addresses
	place   *path.Place
	devices map[string]*facts.Device
}

// known takes from plumb's own knowledge who has the addresses, and which route
// there should be.
func (s *sight) known(e *reconcile.Engine, src *sources) {
	shadowed := map[string]bool{}
	for _, sh := range e.Shadowed() {
		shadowed[sh.Origin] = true
	}
	for id, es := range src.endpoints {
		f := &facts.Endpoint{Endpoint: es.Endpoint, Origin: es.origin, Why: es.pending, State: "wired"}
		switch {
		case es.pending != "":
			f.State = "pending"
		case shadowed[es.origin]:
			f.State = "shadowed"
		}
		if id == s.q.Endpoint || s.q.Endpoint == "" && s.packet.Src.IsValid() && slices.Contains(es.Addresses, s.packet.Src) && better(f, s.n.Sender) {
			s.n.Sender = f
		}
		if slices.Contains(es.Addresses, s.packet.Dst) && better(f, s.n.Receiver) {
			s.n.Receiver = f
		}
	}
	if !s.packet.Src.IsValid() && s.q.Endpoint != "" && s.n.Sender != nil {
		s.packet.Src = s.n.Sender.Address(s.packet.Dst)
	}
	table := state.TableMain
	if src.file != nil {
		table = src.file.Settings.RouteTable
		if self, ok := src.file.Node(src.node); ok {
			for _, a := range self.Addresses {
				s.uplinks = append(s.uplinks, a.Prefix.Addr())
			}
		}
	}
	s.n.Want = wantedTo(e, s.packet.Dst, table)
}

// better prefers an endpoint that is wired, and among equals the first by ID.
func better(e, than *facts.Endpoint) bool {
	switch {
	case than == nil:
		return true
	case (e.State == "wired") != (than.State == "wired"):
		return e.State == "wired"
	}
	return e.ID < than.ID
}

// wantedTo is the longest wanted route to an address. It looks up what the key of
// a route of each length would be, so many routes cost nothing.
func wantedTo(e *reconcile.Engine, dst netip.Addr, table uint32) *facts.Wanted {
	for bits := dst.BitLen(); bits >= 0; bits-- {
		p, _ := dst.Prefix(bits)
		key := state.NewRoute(p, table, state.ProtoPlumb).Key()
		want, _ := e.At(key)
		r, ok := want.(state.Route)
		if !ok {
			continue
		}
		w := &facts.Wanted{Route: r, Text: state.String(r), Origin: e.Origin(key)}
		for _, f := range e.Failures() {
			if f.Key == key {
				w.Trouble = f.Err.Error()
			}
		}
		return w
	}
	return nil
}

// origins say where what the kernel has comes from.
func (s *sight) origins(e *reconcile.Engine, _ *sources) {
	s.n.Lookup.Origin = origin(e, &s.n.Lookup)
	s.n.Back.Origin = origin(e, &s.n.Back)
	if t := s.n.Tunnel; t != nil {
		t.Lookup.Origin = origin(e, &t.Lookup)
	}
	for i := range s.n.NFT.Elements {
		s.n.NFT.Elements[i].Origin = e.Origin(s.n.NFT.Elements[i].Key())
	}
	s.n.NFT.Origins = map[string]string{}
	for _, r := range s.n.NFT.Rules {
		if want, _ := e.At(r.Key()); want == r {
			s.n.NFT.Origins[r.Key().ID] = e.Origin(r.Key())
		}
	}
	for _, d := range []*facts.Device{s.n.In, s.n.Out} {
		if d != nil {
			d.Origin = e.Origin(state.Key{Kind: state.KindLink, ID: d.Name})
		}
	}
}

// origin: only what is plumb's by its mark has one.
func origin(e *reconcile.Engine, l *facts.Lookup) string {
	if l.Proto != state.ProtoPlumb && l.Proto != state.ProtoBGP || !l.Dst.IsValid() {
		return ""
	}
	for _, table := range []uint32{l.Table, state.TableMain} {
		if o := e.Origin(state.NewRoute(l.Dst, table, l.Proto).Key()); o != "" {
			return o
		}
	}
	return ""
}
