package desired

import (
	"net/netip"
	"slices"
)

// validator checks what the parts of a file say of one another. Single values
// were checked when they were read; one that was not valid is zero here, and is
// passed over, so that one slip is one error.
type validator struct {
	*walker
	f     *File
	pools prefixTable[*Pool]
	nodes map[string]*Node // the first of each name
	pick  *selection

	reflectors bool // some node is a route reflector
}

func (v *validator) validate() {
	v.nodes = make(map[string]*Node, len(v.f.Nodes))
	v.pick = newSelection(v.f.Nodes)
	v.reflectors = slices.ContainsFunc(v.f.Nodes, func(n Node) bool { return n.RouteReflector != nil })
	v.checkPools()
	v.checkNAT()
	v.checkNodes()
	v.checkEndpoints()
	if v.f.BGP != nil {
		v.checkBGP()
	}
	v.checkSettings()
}

// complete says whether everything in the list at path could be read, so that
// what is not in it does not exist.
func (v *validator) complete(path string) bool { return !v.incomplete && !v.broken[path] }

func (v *validator) checkPools() {
	var ranges []placedPrefix
	for i := range v.f.Pools {
		p := &v.f.Pools[i]
		if !p.CIDR.IsValid() {
			v.broken["pools"] = true
			continue
		}
		ranges = append(ranges, placedPrefix{p.CIDR, v.place(p.Pos, "cidr"), nil})
		v.pools.put(p.CIDR, p)
		v.checkPool(p)
	}
	overlaps(ranges, func(a, b placedPrefix) {
		if a.prefix == b.prefix {
			v.fail(b.pos, "pool %s is defined twice: first at %s; remove one", b.prefix, a.pos)
			return
		}
		v.fail(b.pos, "pool %s overlaps pool %s at %s; change or remove one of them", b.prefix, a.prefix, a.pos)
	})
	v.checkVXLAN()
}

// checkVXLAN: a node has one VXLAN device for all pools, since which of them a packet
// is of, its addresses say.
func (v *validator) checkVXLAN() {
	var first *Pool
	for i := range v.f.Pools {
		p := &v.f.Pools[i]
		if p.Encapsulation != VXLAN || v.doubtful[p.Pos] {
			continue
		}
		if first == nil {
			first = p
		}
		at := v.place(p.Pos, "vxlan")
		if p.VXLAN.VNI != first.VXLAN.VNI {
			v.fail(at, "vxlan.vni: must be %d, as in pool %s at %s, not %d: a node has one VXLAN device for all pools",
				first.VXLAN.VNI, first.CIDR, first.Pos, p.VXLAN.VNI)
		}
		if p.VXLAN.Port != first.VXLAN.Port {
			v.fail(at, "vxlan.port: must be %d, as in pool %s at %s, not %d: a node has one VXLAN device for all pools",
				first.VXLAN.Port, first.CIDR, first.Pos, p.VXLAN.Port)
		}
	}
}

func (v *validator) checkPool(p *Pool) {
	if p.Reachability == ByBGP && v.f.BGP == nil && v.complete("bgp") {
		v.fail(v.place(p.Pos, "reachability"), "reachability bgp needs a bgp section; add one, or use static")
	}
	if p.Encapsulation == IPIP && p.CIDR.Addr().Is6() {
		v.fail(v.place(p.Pos, "encapsulation"), "ipip carries IPv4 alone, and the pool is %s; use vxlan", p.CIDR)
	}
	if v.doubtful[p.Pos] {
		return // encapsulation may be what could not be read
	}
	if p.Encapsulation != VXLAN && v.has(p.Pos, "vxlan") {
		v.warn(v.place(p.Pos, "vxlan"), "vxlan has no effect without encapsulation: vxlan")
	}
	if p.Encapsulation == NoEncapsulation && v.has(p.Pos, "encapsulate") {
		v.warn(v.place(p.Pos, "encapsulate"), "encapsulate has no effect without an encapsulation")
	}
}

func (v *validator) checkNAT() {
	n := &v.f.NAT
	_, portRange := v.set["nat.portRange"]
	uses := n.Address.IsValid() || portRange || len(n.Exclude) > 0
	outgoing := func(p Pool) bool { return p.NATOutgoing }
	if uses && len(v.f.Pools) > 0 && v.complete("pools") && !slices.ContainsFunc(v.f.Pools, outgoing) {
		v.warn(n.Pos, "nat has no effect, as no pool has natOutgoing: true")
	}
	for _, p := range v.f.Pools {
		if only := n.PortRange; p.Encapsulation == VXLAN && only == (PortRange{p.VXLAN.Port, p.VXLAN.Port}) {
			v.fail(v.set["nat.portRange"], "portRange: needs a port besides %d, which is VXLAN's in pool %s at %s", only.First, p.CIDR, p.Pos)
			return
		}
	}
}

// minMTU6 is the least MTU over which IPv6 works (RFC 8200).
const minMTU6 = 1280

func (v *validator) checkSettings() {
	mtu := v.f.Settings.MTU
	if mtu == 0 || mtu >= minMTU6 {
		return
	}
	for _, p := range v.f.Pools {
		if p.CIDR.IsValid() && p.CIDR.Addr().Is6() {
			v.fail(v.set["settings.mtu"], "mtu: must be at least %d, as pool %s at %s is IPv6, not %d", minMTU6, p.CIDR, p.Pos, mtu)
			return
		}
	}
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
