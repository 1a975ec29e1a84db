package agent

import (
	"context"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/kernel/nft"
	"github.com/plumbnet/plumb/kernel/path"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace/facts"
)

// kernel asks the node's namespace, and those of its pods at either end.
func (s *sight) kernel(ctx context.Context) error {
	p, err := path.Open()
	if err != nil {
		return err
	}
	defer p.Close()
	s.place = p
	list, err := p.Devices(ctx)
	if err != nil {
		return err
	}
	s.devices = make(map[string]*facts.Device, len(list))
	for i := range list {
		d := &list[i]
		s.devices[d.Name] = d
		if slices.ContainsFunc(s.uplinks, d.Has) {
			s.n.Uplinks = append(s.n.Uplinks, *d)
		}
	}
	s.in()
	if s.q.Endpoint != "" {
		s.n.SenderPod = s.senderPod(ctx)
	}
	s.route(ctx)
	s.sysctls()
	s.out(ctx)
	return nil
}

// in finds the device that the packet comes in by.
func (s *sight) in() {
	name := s.q.Dev
	if s.q.Endpoint != "" {
		name = s.n.Sender.Interface
	}
	if s.q.At.IsValid() {
		for _, d := range s.devices {
			if d.Has(s.q.At) {
				name = d.Name
			}
		}
		if name == "" {
			name = "the device with " + s.q.At.String()
		}
	}
	if name != "" {
		s.n.In = s.device(name)
	}
}

func (s *sight) device(name string) *facts.Device {
	if d := s.devices[name]; d != nil {
		c := *d
		return &c
	}
	return &facts.Device{Name: name, Missing: true}
}

// route asks for the way on, and for the way back.
func (s *sight) route(ctx context.Context) {
	in := ""
	if d := s.n.In; d != nil && !d.Missing && d.Up {
		in = d.Name
	}
	s.n.Lookup = s.place.Route(ctx, s.packet, in, "")
	if s.q.Local && !s.packet.Src.IsValid() {
		s.packet.Src = s.n.Lookup.Source
	}
	if s.packet.Src.IsValid() {
		s.n.Back = s.place.Route(ctx, facts.Packet{Dst: s.packet.Src}, "", "")
	}
	for _, d := range s.devices {
		s.n.Local = s.n.Local || d.Has(s.packet.Src)
	}
}

func (s *sight) sysctls() {
	paths := []string{"net/ipv6/conf/all/forwarding"}
	per := []string{"net/ipv6/conf/%/forwarding", "net/ipv6/conf/%/force_forwarding", "net/ipv6/conf/%/proxy_ndp"}
	if s.packet.Dst.Is4() {
		paths = []string{"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/all/proxy_arp"}
		per = []string{"net/ipv4/conf/%/forwarding", "net/ipv4/conf/%/rp_filter", "net/ipv4/conf/%/proxy_arp"}
	}
	if d := s.n.In; d != nil && !d.Missing {
		for _, p := range per {
			paths = append(paths, facts.Of(p, d.Name))
		}
	}
	for _, p := range paths {
		if v := path.Sysctl(p); v != "" {
			s.n.Sysctl[p] = v
		}
	}
}

// out looks at where the packet leaves.
func (s *sight) out(ctx context.Context) {
	l := &s.n.Lookup
	if l.Error != "" || l.Type != state.Unicast || l.Via.Dev == "" {
		return
	}
	s.n.Out = s.device(l.Via.Dev)
	next := l.Via.Gateway
	if !next.IsValid() {
		next = s.packet.Dst
	}
	s.n.Neighbour = s.neighbour(ctx, s.n.Out, next)
	switch s.n.Out.Kind {
	case "vxlan":
		t := &facts.Tunnel{MAC: s.n.Neighbour.MAC, Outer: facts.Packet{Src: s.n.Out.Local, Proto: "udp", DstPort: s.n.Out.Port}}
		t.Outer.Dst, _ = s.place.Forwarding(ctx, s.n.Out.Name, t.MAC)
		s.tunnel(ctx, t)
	case "ipip":
		s.n.Neighbour = nil // a tunnel of IP in IP has none
		s.tunnel(ctx, &facts.Tunnel{Outer: facts.Packet{Src: s.n.Out.Local, Dst: next, Proto: "ipip"}})
	}
	if s.n.Receiver != nil && s.n.Receiver.Interface == s.n.Out.Name {
		s.n.ReceiverPod = s.receiverPod(ctx)
	}
}

func (s *sight) neighbour(ctx context.Context, d *facts.Device, addr netip.Addr) *facts.Neighbour {
	if d.Missing || !d.Up || !d.Carrier {
		return &facts.Neighbour{Addr: addr, Dev: d.Name, State: "NONE"}
	}
	n := s.place.Neighbour(ctx, d.Name, addr)
	return &n
}

// tunnel follows the outer packet to the wire.
func (s *sight) tunnel(ctx context.Context, t *facts.Tunnel) {
	s.n.Tunnel = t
	if !t.Outer.Dst.IsValid() {
		return
	}
	outer := t.Outer
	if outer.Proto == "ipip" {
		outer.Proto = "" // no protocol that RTA_IP_PROTO takes
	}
	t.Lookup = s.place.Route(ctx, outer, "", "")
	if t.Lookup.Error != "" || t.Lookup.Via.Dev == "" {
		return
	}
	t.Out = s.device(t.Lookup.Via.Dev)
	next := t.Lookup.Via.Gateway
	if !next.IsValid() {
		next = outer.Dst
	}
	t.Neighbour = s.neighbour(ctx, t.Out, next)
}

// inPod looks into an endpoint's namespace, where its record names one.
func inPod(ctx context.Context, e *facts.Endpoint, look func(p *path.Place, pod *facts.Pod)) *facts.Pod {
	if e.NetNS == "" {
		return nil // a VM, or a container wired by hand
	}
	pod := &facts.Pod{NetNS: e.NetNS}
	err := path.Within(e.NetNS, func() error {
		p, err := path.Open()
		if err != nil {
			return err
		}
		defer p.Close()
		list, err := p.Devices(ctx)
		if err != nil {
			return err
		}
		pod.Device = &facts.Device{Name: e.IfName, Missing: true}
		for i := range list {
			if list[i].Name == e.IfName {
				pod.Device = &list[i]
			}
		}
		look(p, pod)
		return nil
	})
	if err != nil {
		pod.Err = closed(e.NetNS, err).Error()
	}
	return pod
}

func (s *sight) senderPod(ctx context.Context) *facts.Pod {
	return inPod(ctx, s.n.Sender, func(p *path.Place, pod *facts.Pod) {
		packet := s.packet
		if !pod.Device.Has(packet.Src) {
			packet.Src = netip.Addr{} // an address of nobody's: a raw socket sends it all the same
		}
		pod.Lookup = p.Route(ctx, packet, "", "")
		if pod.Lookup.Error != "" || pod.Lookup.Via.Dev == "" || pod.Lookup.Type != state.Unicast {
			return
		}
		next := pod.Lookup.Via.Gateway
		if !next.IsValid() {
			next = packet.Dst
		}
		if pod.Device.Up && pod.Device.Carrier {
			n := p.Neighbour(ctx, pod.Lookup.Via.Dev, next)
			pod.Neighbour = &n
		}
	})
}

func (s *sight) receiverPod(ctx context.Context) *facts.Pod {
	return inPod(ctx, s.n.Receiver, func(p *path.Place, pod *facts.Pod) {
		in := ""
		if !pod.Device.Missing && pod.Device.Up {
			in = pod.Device.Name
		}
		pod.Lookup = p.Route(ctx, s.packet, in, "")
	})
}

// nft reads plumb's table, and which other chains there are.
func (s *sight) nft(ctx context.Context) {
	f := &s.n.NFT
	k, err := nft.New()
	if err != nil {
		f.Err = err.Error()
		return
	}
	defer k.Close()
	err = k.Read(ctx, func(o state.Object) {
		switch o := o.(type) {
		case state.Table:
			f.Table = true
		case state.Chain:
			f.Chains = append(f.Chains, o)
		case state.Rule:
			f.Rules = append(f.Rules, o)
		case state.Element:
			if s.holds(o) {
				f.Elements = append(f.Elements, facts.Element{Element: o})
			}
		}
	})
	if err == nil {
		var list []nft.ForeignChain
		list, err = k.Foreign()
		for _, c := range list {
			f.Foreign = append(f.Foreign, facts.Chain{Table: c.Table, Name: c.Name, Type: c.Type, Hook: c.Hook, Priority: c.Priority, Policy: c.Policy, Rules: c.Rules})
		}
	}
	if err != nil {
		f.Err = err.Error()
	}
}

// holds says whether an element holds an address that a rule may ask for.
func (s *sight) holds(e state.Element) bool {
	list := []netip.Addr{s.packet.Src, s.packet.Dst}
	if o := s.q.Outer; o != nil {
		list = append(list, o.Src, o.Dst)
	}
	return slices.ContainsFunc(list, func(a netip.Addr) bool {
		return a.IsValid() && a.BitLen() == e.From.BitLen() && e.From.Compare(a) <= 0 && a.Compare(e.To) <= 0
	})
}
