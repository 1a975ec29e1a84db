package bgp

import (
	"context"
	"net/netip"
	"strings"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/encoding/protowire"
)

// watchServer has GoBGP call back with what changes. Its callback only notes:
// behind it events pile up without limit.
func (s *Speaker) watchServer(ctx context.Context) error {
	d := &decoder{addresses: map[string]netip.Addr{}}
	return s.server.WatchEvent(ctx, &api.WatchEventRequest{
		Peer: &api.WatchEventRequest_Peer{},
		Table: &api.WatchEventRequest_Table{Filters: []*api.WatchEventRequest_Table_Filter{
			{Type: api.WatchEventRequest_Table_Filter_BEST, Init: true},
			{Type: api.WatchEventRequest_Table_Filter_EOR, Init: true},
		}},
	}, func(r *api.WatchEventResponse) {
		if t := r.GetTable(); t != nil && len(t.Paths) > 0 {
			s.sawPaths(d, t.Paths)
		}
		if p := r.GetPeer(); p != nil && p.GetType() == api.WatchEventResponse_PeerEvent_STATE {
			s.sawState(p.GetPeer())
		}
	})
}

// sawPaths notes best paths. What one event has of a prefix is all that is best.
func (s *Speaker) sawPaths(d *decoder, paths []*api.Path) {
	most := int(s.maxPaths.Load())
	s.version.Add(1)
	s.updates.change(func() {
		u := s.updates
		var last netip.Prefix
		var list []Path
		for _, p := range paths {
			if p.Nlri == nil {
				if peer := d.address(p.NeighborIp); peer.IsValid() && peer != gateAddress {
					u.endOfRIBs = append(u.endOfRIBs, EndOfRIB{peer, p.GetFamily().GetAfi() == api.Family_AFI_IP6})
				}
				continue
			}
			prefix, ok := d.prefix(p)
			if !ok {
				continue
			}
			if prefix != last {
				list = nil
				last = prefix
			}
			peer := d.address(p.NeighborIp)
			if hop := d.nextHop(p); !p.IsWithdraw && peer.IsValid() && hop.IsValid() {
				list = append(list, Path{hop, peer})
			}
			u.paths[prefix] = best(list, most)
		}
	})
}

// decoder reads GoBGP's messages. What is in them is packed a second time; taking
// it out with the protobuf library would cost more than all else that is done with
// a path, so the few fields that count are read by hand (api/attribute.proto).
type decoder struct {
	addresses map[string]netip.Addr // of peers and next hops: few, of many paths
}

func (d *decoder) address(s string) netip.Addr {
	a, ok := d.addresses[s]
	if !ok {
		a, _ = netip.ParseAddr(s) // "<nil>" for what this node originates
		if len(d.addresses) > 1<<12 {
			clear(d.addresses)
		}
		d.addresses[s] = a.Unmap()
	}
	return a
}

// prefix reads an IPAddressPrefix: 1 is the length, 2 the address.
func (d *decoder) prefix(p *api.Path) (netip.Prefix, bool) {
	if !strings.HasSuffix(p.Nlri.TypeUrl, ".IPAddressPrefix") {
		return netip.Prefix{}, false
	}
	bits := 0
	var text []byte
	fields(p.Nlri.Value, func(n protowire.Number, v uint64, b []byte) {
		switch n {
		case 1:
			bits = int(v)
		case 2:
			text = b
		}
	})
	a, err := netip.ParseAddr(string(text))
	if err != nil {
		return netip.Prefix{}, false
	}
	prefix, err := a.Prefix(bits)
	return prefix, err == nil
}

// nextHop reads a NextHopAttribute, where 1 is the address, or the first next hop
// of an MpReachNLRIAttribute, 2.
func (d *decoder) nextHop(p *api.Path) netip.Addr {
	for _, a := range p.Pattrs {
		want := protowire.Number(0)
		switch {
		case strings.HasSuffix(a.TypeUrl, ".NextHopAttribute"):
			want = 1
		case strings.HasSuffix(a.TypeUrl, ".MpReachNLRIAttribute"):
			want = 2
		default:
			continue
		}
		var hop netip.Addr
		fields(a.Value, func(n protowire.Number, _ uint64, b []byte) {
			if n == want && !hop.IsValid() {
				hop = d.bytes(b)
			}
		})
		if hop.IsValid() {
			return hop
		}
	}
	return netip.Addr{}
}

func (d *decoder) bytes(b []byte) netip.Addr {
	if a, ok := d.addresses[string(b)]; ok { // does not allocate
		return a
	}
	return d.address(string(b))
}

// fields calls f with each field of a message: a number, or bytes.
func fields(b []byte, f func(n protowire.Number, v uint64, bytes []byte)) {
	for len(b) > 0 {
		n, t, used := protowire.ConsumeTag(b)
		if used < 0 {
			return
		}
		b = b[used:]
		var v uint64
		var bytes []byte
		switch t {
		case protowire.VarintType:
			v, used = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			bytes, used = protowire.ConsumeBytes(b)
		default:
			used = protowire.ConsumeFieldValue(n, t, b)
		}
		if used < 0 {
			return
		}
		b = b[used:]
		f(n, v, bytes)
	}
}
