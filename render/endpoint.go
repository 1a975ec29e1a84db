package render

import (
	"strings"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// IsHostEnd says whether a device bears the mark of plumb's host ends.
func IsHostEnd(dev string) bool { return strings.HasPrefix(dev, state.HostEndPrefix) }

// FileEndpoint is an endpoint of the state file, and its line.
type FileEndpoint struct {
	state.Endpoint
	Origin string
}

// FileEndpoints gives the endpoints that the file puts on the node.
func FileEndpoints(f *desired.File, node string) []FileEndpoint {
	var out []FileEndpoint
	for _, e := range f.Endpoints {
		if e.Node != node {
			continue
		}
		out = append(out, FileEndpoint{
			Endpoint: state.Endpoint{ID: "file/" + e.Name, Name: e.Name, Interface: e.Interface, Addresses: e.Addresses},
			Origin:   e.Pos.String(),
		})
	}
	return out
}

// Endpoint renders an endpoint: a host route for each address, and, where its
// interface is one of plumb's host ends, the device and its parameters. Another
// interface (a VM's tap) is its maker's, and gets the routes alone.
//
// Until the interface is there (and up, where it is not plumb's to set up),
// nothing can lead to it: then pending says what is waited for.
func Endpoint(e state.Endpoint, origin string, table uint32, host Host) (wanted []Wanted, pending string) {
	i, ok := host.Interfaces[e.Interface]
	switch {
	case host.Elsewhere:
	case !ok:
		return nil, "interface " + e.Interface + " does not exist; its routes come when it does"
	case !i.Up && !IsHostEnd(e.Interface):
		return nil, "interface " + e.Interface + " is down; its routes come when it is up (ip link set " + e.Interface + " up)"
	}
	var r rendering
	v4, v6 := false, false
	for _, a := range e.Addresses {
		v4 = v4 || a.Is4()
		v6 = v6 || a.Is6()
	}
	if IsHostEnd(e.Interface) {
		r.want(origin, state.Link{Name: e.Interface, Type: "veth", MAC: state.HostEndMAC, Up: true})
		r.hostEndSysctls(origin, e.Interface, v4, v6)
	}
	for _, a := range e.Addresses {
		dst, err := a.Prefix(a.BitLen())
		if err != nil { // a zone: validation refuses it
			continue
		}
		r.want(origin, state.NewRoute(dst, table, state.ProtoPlumb, state.NextHop{Dev: e.Interface}))
	}
	return r.wanted, ""
}

// hostEndSysctls make the host end answer ARP for every address, so that the pod
// finds its gateway, without the random delay of proxied answers (arp(7)), and
// refuse sources that are not routed to it (RFC 3704, strict).
func (r *rendering) hostEndSysctls(origin, dev string, v4, v6 bool) {
	set := func(path, value string) { r.want(origin, state.Sysctl{Path: path, Value: value}) }
	if v4 {
		set("net/ipv4/conf/"+dev+"/proxy_arp", "1")
		set("net/ipv4/neigh/"+dev+"/proxy_delay", "0")
		set("net/ipv4/conf/"+dev+"/forwarding", "1")
		set("net/ipv4/conf/"+dev+"/rp_filter", "1")
	}
	if v6 {
		set("net/ipv6/conf/"+dev+"/forwarding", "1")
		set("net/ipv6/conf/"+dev+"/accept_ra", "0")
		set("net/ipv6/conf/"+dev+"/proxy_ndp", "1")
	}
}
