package desired

import (
	"net/netip"
	"time"
)

// The schema: for each section of the file its fields, what each may be, and
// which part of the Go types it fills. Everything else that is known about a
// field follows from these tables.

// Fields gives the path of every field of the state file, such as
// "pools[].vxlan.vni", in the order of the schema.
func Fields() []string {
	paths := make([]string, len(fileShape.paths))
	for i, p := range fileShape.paths {
		paths[i] = p[1:] // without the dot before the first name
	}
	return paths
}

var fileShape = section("", nil,
	optional("apiVersion", str(nil), func(*File) *string { return new(string) }), // checked before all else
	optional("cluster", str(nil), func(f *File) *string { return &f.Cluster }),
	optional("pools", list(poolShape), func(f *File) *[]Pool { return &f.Pools }),
	optional("nat", natShape, func(f *File) *NAT { return &f.NAT }),
	optional("nodes", list(nodeShape), func(f *File) *[]Node { return &f.Nodes }),
	optional("endpoints", list(endpointShape), func(f *File) *[]Endpoint { return &f.Endpoints }),
	optional("bgp", pointer(bgpShape), func(f *File) **BGP { return &f.BGP }),
	optional("settings", settingsShape, func(f *File) *Settings { return &f.Settings }),
)

// newFile gives the state of an empty file. What depends on the rest of the file
// is left to setDefaults.
func newFile() *File {
	return &File{
		NAT:      NAT{FullyRandom: true},
		Settings: Settings{ResyncInterval: 60 * time.Second, RouteTable: 254},
	}
}

// setDefaults fills in the defaults that depend on other parts of the file.
func (f *File) setDefaults() {
	reachability := Static
	if f.BGP != nil {
		reachability = ByBGP
	}
	for i := range f.Pools {
		if f.Pools[i].Reachability == "" {
			f.Pools[i].Reachability = reachability
		}
	}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if rr := n.RouteReflector; rr != nil && !rr.ClusterID.IsValid() {
			rr.ClusterID = n.routerID() // as RFC 4456 has it
		}
	}
}

// routerID is the node's, or its first IPv4 address; not valid where there is none.
func (n *Node) routerID() netip.Addr {
	if n.RouterID.IsValid() {
		return n.RouterID
	}
	for _, a := range n.Addresses {
		if a.Prefix.Addr().Is4() {
			return a.Prefix.Addr()
		}
	}
	return netip.Addr{}
}

var (
	cidrShape      = text("a CIDR such as 10.244.0.0/16", parseCIDR)
	rangeShape     = text("a CIDR such as 10.244.0.0/16", parseRange)
	addressShape   = text("an IP address", parseHost)
	ipv4Shape      = text("an IPv4 address", parseIPv4)
	nameShape      = str(checkName)
	interfaceShape = str(checkInterface)
	asnShape       = integer[uint32](1, 1<<32-1)
	portShape      = integer[uint16](1, 65535)
)

// placed is a CIDR that keeps its place.
func placed(what string, parse func(string) (netip.Prefix, error)) shape[CIDR] {
	s := text(what, parse)
	return shape[CIDR]{decode: func(w *walker, v value, to *CIDR) {
		to.Pos = v.pos
		s.decode(w, v, &to.Prefix)
	}}
}

func newPool() Pool {
	return Pool{
		Encapsulation: NoEncapsulation,
		Encapsulate:   Always,
		VXLAN:         VXLANOptions{VNI: 4096, Port: 4789},
	}
}

var poolShape = item(newPool, func(p *Pool) *Pos { return &p.Pos },
	required("cidr", text("a CIDR such as 10.244.0.0/16", parsePoolCIDR), func(p *Pool) *netip.Prefix { return &p.CIDR }),
	optional("natOutgoing", boolean, func(p *Pool) *bool { return &p.NATOutgoing }),
	optional("reachability", choice(Static, ByBGP), func(p *Pool) *Reachability { return &p.Reachability }),
	optional("encapsulation", choice(NoEncapsulation, VXLAN, IPIP), func(p *Pool) *Encapsulation { return &p.Encapsulation }),
	optional("encapsulate", choice(Always, CrossSubnet), func(p *Pool) *Encapsulate { return &p.Encapsulate }),
	optional("vxlan", vxlanShape, func(p *Pool) *VXLANOptions { return &p.VXLAN }),
)

var vxlanShape = item(nil, nil,
	optional("vni", integer[uint32](1, 1<<24-1), func(o *VXLANOptions) *uint32 { return &o.VNI }),
	optional("port", portShape, func(o *VXLANOptions) *uint16 { return &o.Port }),
)

var natShape = section("nat", func(n *NAT) *Pos { return &n.Pos },
	optional("exclude", list(placed("a CIDR such as 192.0.2.0/24", parseCIDR)), func(n *NAT) *[]CIDR { return &n.Exclude }),
	optional("fullyRandom", boolean, func(n *NAT) *bool { return &n.FullyRandom }),
	optional("portRange", text("a range of ports such as 32768-60999", parsePortRange), func(n *NAT) *PortRange { return &n.PortRange }),
	optional("address", natAddressShape, func(n *NAT) *NAT { return n }),
)

var natAddressShape = shape[NAT]{decode: func(w *walker, v value, to *NAT) {
	to.AddressPos = v.pos
	addressShape.decode(w, v, &to.Address)
}}

var nodeShape = item(nil, func(n *Node) *Pos { return &n.Pos },
	required("name", nameShape, func(n *Node) *string { return &n.Name }),
	optional("addresses", list(placed("an address with the length of its subnet", parseNodeAddress)), func(n *Node) *[]CIDR { return &n.Addresses }),
	optional("podCIDRs", list(placed("a CIDR such as 10.244.1.0/24", parseRange)), func(n *Node) *[]CIDR { return &n.PodCIDRs }),
	optional("labels", labels, func(n *Node) *map[string]string { return &n.Labels }),
	optional("asn", asnShape, func(n *Node) *uint32 { return &n.ASN }),
	optional("routerID", ipv4Shape, func(n *Node) *netip.Addr { return &n.RouterID }),
	optional("routeReflector", pointer(reflectorShape), func(n *Node) **RouteReflector { return &n.RouteReflector }),
)

var reflectorShape = item(nil, func(r *RouteReflector) *Pos { return &r.Pos },
	optional("clusterID", ipv4Shape, func(r *RouteReflector) *netip.Addr { return &r.ClusterID }),
)

var endpointShape = item(nil, func(e *Endpoint) *Pos { return &e.Pos },
	required("name", nameShape, func(e *Endpoint) *string { return &e.Name }),
	required("node", nameShape, func(e *Endpoint) *string { return &e.Node }),
	required("interface", interfaceShape, func(e *Endpoint) *string { return &e.Interface }),
	required("addresses", list(addressShape), func(e *Endpoint) *[]netip.Addr { return &e.Addresses }),
)

var settingsShape = section("settings", func(s *Settings) *Pos { return &s.Pos },
	optional("mtu", mtuShape, func(s *Settings) *int { return &s.MTU }),
	optional("resyncInterval", duration(time.Second, 0, 1), func(s *Settings) *time.Duration { return &s.ResyncInterval }),
	optional("routeTable", routeTableShape, func(s *Settings) *uint32 { return &s.RouteTable }),
)
