package bgp

import (
	"net/netip"
	"strings"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/encoding/protowire"
)

// decoder reads what GoBGP lists of its tables. Next hops are packed a second time;
// taking them out with the protobuf library would cost more than all else that is done
// with a path, so they are read by hand (api/attribute.proto).
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
