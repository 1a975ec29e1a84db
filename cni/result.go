package cni

import (
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/plumbnet/plumb/kernel/pod"
	"github.com/plumbnet/plumb/state"
)

// result says what was made, in the form of the newest version; printing it
// converts it to the one that was asked for.
func (r *request) result(m pod.Spec) *current.Result {
	container := 1 // the index of the pod's interface
	out := &current.Result{
		CNIVersion: current.ImplementedSpecVersion,
		Interfaces: []*current.Interface{
			{Name: m.HostEnd, Mac: state.HostEndMAC, Mtu: m.MTU},
			{Name: m.IfName, Mac: m.PodMAC().String(), Mtu: m.MTU, Sandbox: r.Netns},
		},
		DNS: r.dns,
	}
	for _, a := range m.Addresses {
		gateway := pod.Gateway(a)
		out.IPs = append(out.IPs, &current.IPConfig{Interface: &container, Address: network(a, a.BitLen()), Gateway: gateway.AsSlice()})
		if a.Is4() {
			out.Routes = append(out.Routes, &types.Route{Dst: network(gateway, gateway.BitLen())})
		}
		out.Routes = append(out.Routes, &types.Route{Dst: network(unspecified(a), 0), GW: gateway.AsSlice()})
	}
	return out
}

func network(a netip.Addr, bits int) net.IPNet {
	return net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
