package render

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// tunnel is a tunnel device of this node.
type tunnel struct {
	local   netip.Addr
	parent  string
	mtu     int
	missing string // why it cannot be made
	origin  string // of the first pool that asks for it
	vxlan   desired.VXLANOptions
}

// errNoTunnel: the device itself cannot be made, which is said once.
var errNoTunnel = errors.New("the tunnel device cannot be made")

// device is the tunnel device by which two nodes exchange the packets of a pool.
// VXLAN goes over the family of the pool where both have an address of it, else
// over the other: both ends come to the same.
func device(a, b *desired.Node, pool *desired.Pool) (dev string, over4, ok bool) {
	if pool.Encapsulation == desired.IPIP {
		return state.IPIPDevice, true, bothHave(a, b, true)
	}
	over4 = pool.CIDR.Addr().Is4()
	if ok = bothHave(a, b, over4); !ok {
		over4 = !over4
		ok = bothHave(a, b, over4)
	}
	if over4 {
		return state.VXLANDevice, true, ok
	}
	return state.VXLANDevice6, false, ok
}

func bothHave(a, b *desired.Node, is4 bool) bool {
	_, one := first(a, is4)
	_, other := first(b, is4)
	return one && other
}

// first is a node's first address of a family: the one that tunnels end at.
func first(n *desired.Node, is4 bool) (netip.Addr, bool) {
	for _, a := range n.Addresses {
		if a.Prefix.Addr().Is4() == is4 {
			return a.Prefix.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// tunnels gives the devices that the file's pools ask for, between this node and
// any other, and for packets of its own family even while it is alone.
func tunnels(f *desired.File, self *desired.Node, host Host) map[string]tunnel {
	out := map[string]tunnel{}
	for i := range f.Pools {
		pool := &f.Pools[i]
		if pool.Encapsulation == desired.NoEncapsulation {
			continue
		}
		add := func(n *desired.Node) {
			dev, over4, ok := device(self, n, pool)
			if _, there := out[dev]; there || !ok {
				return
			}
			out[dev] = newTunnel(f, self, host, pool, dev, over4)
		}
		add(self)
		for j := range f.Nodes {
			add(&f.Nodes[j])
		}
	}
	return out
}

func newTunnel(f *desired.File, self *desired.Node, host Host, pool *desired.Pool, dev string, over4 bool) tunnel {
	t := tunnel{origin: pool.Pos.String(), vxlan: pool.VXLAN, mtu: f.Settings.MTU}
	t.local, _ = first(self, over4)
	if host.Elsewhere {
		return t
	}
	parent, width, ok := host.uplink(t.local)
	if !ok {
		t.missing = fmt.Sprintf("no device has %s, the first such address of node %s, at which its tunnels end", t.local, self.Name)
		return t
	}
	t.parent = parent
	if room := width - overhead(dev); t.mtu == 0 || t.mtu > room {
		t.mtu = room
	}
	return t
}

// Waiting is a tunnel device that cannot be made yet, and why, with the mend.
type Waiting struct{ Dev, Origin, Why string }

// Waiting gives the tunnels of this node that wait for its address.
func (p *Paths) Waiting() []Waiting {
	var out []Waiting
	for _, dev := range slices.Sorted(maps.Keys(p.tunnels)) {
		if t := p.tunnels[dev]; t.missing != "" {
			out = append(out, Waiting{dev, t.origin, t.missing + "; set the address, or correct the node's addresses"})
		}
	}
	return out
}

// with is the device that has an address.
func (h Host) with(a netip.Addr) (state.Interface, bool) {
	for _, name := range slices.Sorted(maps.Keys(h.Interfaces)) {
		if state.IsTunnel(name) {
			continue
		}
		for _, p := range h.Interfaces[name].Addresses {
			if p.Addr() == a {
				return h.Interfaces[name], true
			}
		}
	}
	return state.Interface{}, false
}

func sameTunnels(a, b map[string]tunnel) bool { return maps.Equal(a, b) }

// tunnelAddress is the address of a node's tunnel in a family: the network address
// of its first podCIDR in a pool of the encapsulation, which no pod has.
func tunnelAddress(f *desired.File, n *desired.Node, e desired.Encapsulation, is4 bool) (netip.Addr, bool) {
	for _, c := range n.PodCIDRs {
		if a := c.Prefix.Addr(); a.Is4() == is4 {
			if p, ok := pool(f, c.Prefix); ok && p.Encapsulation == e {
				return c.Prefix.Masked().Addr(), true
			}
		}
	}
	return netip.Addr{}, false
}

// TunnelMAC is the MAC address of a node's VXLAN devices, made of its name, so that
// every node knows all others'. It is a unicast address of local administration
// (IEEE 802: of the first byte's lowest bits, 10).
func TunnelMAC(node string) string {
	h := sha256.Sum256([]byte("plumb tunnel " + node))
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", h[0]&^1|2, h[1], h[2], h[3], h[4], h[5])
}
