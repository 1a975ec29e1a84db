package render

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// Paths says how a node reaches the others for the prefixes of each pool: directly,
// or through a tunnel. It is worked out from the state file and the host's devices
// alone, so static routes and routes that were learned take the same way.
type Paths struct {
	file    *desired.File
	self    *desired.Node
	subnets []subnet
	tunnels map[string]tunnel // by device: those that the pools ask for
	podMTU  int
	known   bool                         // the host's devices are known
	index   sync.Once                    // byAddr is made when first asked, from any goroutine
	byAddr  map[netip.Addr]*desired.Node // the other nodes
}

// Path is the way to another node.
type Path struct {
	Hop state.NextHop
	// MTU belongs into the route: 0 where the path is as wide as pods' interfaces.
	MTU uint32
}

// Tunnel is the tunnel device of the path; empty where it is direct.
func (p Path) Tunnel() string {
	if state.IsTunnel(p.Hop.Dev) {
		return p.Hop.Dev
	}
	return ""
}

// NewPaths works out the paths of a node that is in the file.
func NewPaths(f *desired.File, self *desired.Node, host Host) *Paths {
	p := &Paths{file: f, self: self, subnets: onLink(self, host), known: !host.Elsewhere}
	p.tunnels = tunnels(f, self, host)
	p.podMTU = podMTU(f, self, host, p.tunnels)
	return p
}

// To gives the path to node n for a prefix of a pool. This is the one rule:
//
//   - without encapsulation, or with crossSubnet where n has an address of the
//     prefix's family on a subnet of one of this node's devices: through that address;
//   - else through the tunnel of the pool's encapsulation.
//
// The error says what is missing, with the mend.
func (p *Paths) To(n *desired.Node, prefix netip.Prefix) (Path, error) {
	pool, ok := pool(p.file, prefix)
	if !ok {
		return Path{}, fmt.Errorf("%s is in no pool", prefix)
	}
	tunnelled := pool.Encapsulation != desired.NoEncapsulation
	if !tunnelled || pool.Encapsulate == desired.CrossSubnet {
		hop, mtu, err := p.direct(n, prefix)
		if err == nil || !tunnelled {
			return p.path(hop, mtu), err
		}
	}
	return p.through(n, prefix, pool)
}

// Learned gives the path for a prefix that was learned with a next hop, where that
// is an address of a node of the file and the prefix is in a pool; else false, and
// the next hop stands as it is.
func (p *Paths) Learned(prefix netip.Prefix, nextHop netip.Addr) (Path, bool, error) {
	if _, inPool := pool(p.file, prefix); !inPool {
		return Path{}, false, nil
	}
	n, ok := p.nodeAt(nextHop)
	if !ok {
		return Path{}, false, nil
	}
	path, err := p.To(n, prefix)
	return path, true, err
}

// nodeAt is the other node that has an address.
func (p *Paths) nodeAt(a netip.Addr) (*desired.Node, bool) {
	p.index.Do(func() {
		p.byAddr = make(map[netip.Addr]*desired.Node, len(p.file.Nodes))
		for i := range p.file.Nodes {
			for _, c := range p.file.Nodes[i].Addresses {
				if n := &p.file.Nodes[i]; n.Name != p.self.Name {
					p.byAddr[c.Prefix.Addr()] = n
				}
			}
		}
	})
	n, ok := p.byAddr[a]
	return n, ok
}

func (p *Paths) path(hop state.NextHop, mtu int) Path {
	path := Path{Hop: hop}
	if mtu > 0 && mtu < p.podMTU {
		path.MTU = uint32(mtu)
	}
	return path
}

// direct is the way to a node without a tunnel: the first of its addresses, of the
// prefix's family, that is on a subnet of this node.
func (p *Paths) direct(n *desired.Node, prefix netip.Prefix) (hop state.NextHop, mtu int, err error) {
	family := false
	for _, a := range n.Addresses {
		addr := a.Prefix.Addr()
		if addr.Is4() != prefix.Addr().Is4() {
			continue
		}
		family = true
		if s, ok := subnetOf(addr, p.subnets); ok {
			return state.NextHop{Gateway: addr, Dev: s.dev}, s.mtu, nil
		}
	}
	if !family {
		return hop, 0, fmt.Errorf("node %s has no address of this family; add one to its addresses", n.Name)
	}
	return hop, 0, fmt.Errorf("node %s (%s) is on no subnet of this node's devices; "+
		"set encapsulation (encapsulate: crossSubnet) or reachability: bgp for the pool", n.Name, addresses(n))
}

// through is the way to a node through the tunnel of a pool.
func (p *Paths) through(n *desired.Node, prefix netip.Prefix, pool *desired.Pool) (Path, error) {
	is4 := prefix.Addr().Is4()
	dev, _, ok := device(p.self, n, pool)
	if !ok {
		return Path{}, fmt.Errorf("node %s and this node have no addresses of one family for the tunnel; add one to their addresses", n.Name)
	}
	t := p.tunnels[dev]
	if t.missing != "" {
		return Path{}, errNoTunnel
	}
	hop := state.NextHop{Dev: dev, OnLink: true}
	if pool.Encapsulation == desired.IPIP {
		hop.Gateway, _ = first(n, true)
		return p.path(hop, t.mtu), nil
	}
	vtep, ok := tunnelAddress(p.file, n, desired.VXLAN, is4)
	if !ok {
		return Path{}, fmt.Errorf("node %s has no podCIDR in a pool with encapsulation: vxlan, so its tunnel has no address; give it one", n.Name)
	}
	hop.Gateway = vtep
	return p.path(hop, t.mtu), nil
}

// same says whether every other node is reached as by o.
func (p *Paths) same(o *Paths) bool {
	return o != nil && p.podMTU == o.podMTU && p.known == o.known &&
		slices.Equal(p.subnets, o.subnets) && sameTunnels(p.tunnels, o.tunnels) &&
		slices.Equal(p.file.Pools, o.file.Pools) && (p.file.BGP == nil) == (o.file.BGP == nil) && p.file.Settings.RouteTable == o.file.Settings.RouteTable &&
		SameNode(p.self, o.self)
}

// SameNode says whether two nodes are the same in all that a rendering looks at,
// their places in the file among it.
func SameNode(a, b *desired.Node) bool {
	return a.Name == b.Name && a.Pos == b.Pos && slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.PodCIDRs, b.PodCIDRs)
}
