package show

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/state"
)

// gateway4 is the IPv4 gateway of every pod.
var gateway4 = netip.MustParseAddr("169.254.1.1")

// pods shows each pod's addresses and default routes.
func (d *demo) pods(ctx context.Context) error {
	d.title("Pods", "Each pod's node, its end of the veth, addresses, and default routes as `ip route` has them in the pod.")
	t := table{{"POD", "NODE", "HOST END", "ADDRESSES", "DEFAULT ROUTES"}}
	for _, p := range d.status.Pods {
		var routes []string
		for _, a := range p.Addresses {
			family, want := "-4", gateway4.String()
			if a.Is6() {
				family, want = "-6", "fe80::"
			}
			text, err := d.run(ctx, p.Name, "ip", family, "route", "show", "default")
			if err != nil {
				return err
			}
			via := strings.TrimPrefix(text, "default ")
			via, _, _ = strings.Cut(via, " dev ")
			d.expect(strings.HasPrefix(via, "via "+want), "pod %s: its default route is %q, not via %s", p.Name, text, want)
			routes = append(routes, via)
		}
		t.add(p.Name, p.Node, p.Interface, joined(p.Addresses), strings.Join(routes, ", "))
	}
	t.write(d.w, indent)
	return nil
}

// routes shows each node's routing tables.
func (d *demo) routes(ctx context.Context) error {
	d.title("Routing tables of the nodes", "`ip route` and `ip -6 route` in each node; proto plumb marks what plumb owns.")
	for i, n := range d.status.Nodes {
		if i > 0 {
			fmt.Fprintln(d.w)
		}
		fmt.Fprintf(d.w, "%s%s\n", indent, n.Name)
		for _, family := range []string{"-4", "-6"} {
			text, err := d.run(ctx, n.Name, "ip", family, "route")
			if err != nil {
				return err
			}
			for line := range strings.Lines(text) {
				// Every interface has its fe80::/64; they would hide the rest.
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "fe80::/64 ") {
					fmt.Fprintf(d.w, "%s  %s\n", indent, line)
				}
			}
		}
	}
	return nil
}

// gateway shows who has the gateway's address, as the pod knows it and as it is
// answered on the wire.
func (d *demo) gateway(ctx context.Context) error {
	d.title("The gateway "+gateway4.String(), "The pod's neighbour entry (`ip neigh`), and who answers when the pod asks by ARP.")
	t := table{{"POD", "NEIGHBOUR ENTRY", "ARP REPLY FROM"}}
	for _, p := range d.status.Pods {
		if _, ok := ofFamily(p.Addresses, false); !ok {
			continue
		}
		entry, err := d.run(ctx, p.Name, "ip", "neigh", "show", gateway4.String())
		if err != nil {
			return err
		}
		d.expect(strings.Contains(entry, state.HostEndMAC), "pod %s: its neighbour entry for %s is %q, not %s", p.Name, gateway4, entry, state.HostEndMAC)
		mac, err := d.c.ARP(ctx, p.Name, gateway4)
		if err != nil {
			mac = "nobody (" + err.Error() + ")"
		}
		d.expect(mac == state.HostEndMAC, "pod %s: %s is answered for by %s, not by %s", p.Name, gateway4, mac, state.HostEndMAC)
		t.add(p.Name, strings.TrimSpace(entry), mac)
	}
	t.write(d.w, indent)
	return nil
}

// families are those that the lab's pods have.
func (d *demo) families() (ipv6 []bool) {
	for _, six := range []bool{false, true} {
		for _, p := range d.status.Pods {
			if _, ok := ofFamily(p.Addresses, six); ok {
				ipv6 = append(ipv6, six)
				break
			}
		}
	}
	return ipv6
}

func familyName(ipv6 bool) string {
	if ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

// pings shows the ping matrix.
func (d *demo) pings(ctx context.Context) error {
	d.title("Pings", "One echo request from each pod to each pod and host: round trip in ms. Replies from beyond need masquerading.")
	for _, ipv6 := range d.families() {
		m, err := PingAll(ctx, d.c, d.status, ipv6)
		if err != nil {
			return err
		}
		sent, lost := m.Sent()
		fmt.Fprintf(d.w, "%s%s: %d sent, %d lost\n", indent, familyName(ipv6), sent, lost)
		m.Write(d.w, indent+"  ")
		d.expect(lost == 0, "%s: %d of %d pings were lost", familyName(ipv6), lost, sent)
	}
	return nil
}

// call is one pod's call of another, and what is seen of it.
type call struct {
	from lab.Pod
	to   place
	seen netip.Addr
	err  error
}

// sources shows under which address pods are seen.
func (d *demo) sources(ctx context.Context) error {
	d.title("Source addresses", "The address that the other end of a TCP connection sees: the node's outside the pools, the pod's own inside.")
	var calls []*call
	for _, ipv6 := range d.families() {
		for _, p := range d.status.Pods {
			if _, ok := ofFamily(p.Addresses, ipv6); ok {
				for _, to := range d.callees(p, ipv6) {
					calls = append(calls, &call{from: p, to: to})
				}
			}
		}
	}
	var wg sync.WaitGroup
	for _, c := range calls {
		wg.Go(func() { c.seen, c.err = d.c.Whoami(ctx, c.from.Name, c.to.addresses[0]) })
	}
	wg.Wait()
	t := table{{"POD", "CALLS", "AT", "AND IS SEEN AS", "WHICH IS"}}
	for _, c := range calls {
		at := c.to.addresses[0]
		want, _ := ofFamily(c.from.Addresses, at.Is6())
		words := "its own"
		if !d.inPools(at) && d.natOutgoing(want) {
			want, words = d.nodeAddress(c.from.Node, at.Is6()), c.from.Node+"'s (masqueraded)"
		}
		seen := c.seen.String()
		switch {
		case c.err != nil:
			seen, words = "-", c.err.Error()
		case c.seen != want:
			words = "WRONG: it should be " + want.String()
		}
		d.expect(c.err == nil && c.seen == want, "pod %s: %s sees it as %s, not as %s", c.from.Name, c.to.name, seen, want)
		t.add(c.from.Name, c.to.name, at.String(), seen, words)
	}
	t.write(d.w, indent)
	return nil
}

// callees are, for a pod, the hosts and one pod of another node.
func (d *demo) callees(from lab.Pod, ipv6 bool) []place {
	var to []place
	for _, h := range d.status.Hosts {
		if a, ok := ofFamily(beyond(h), ipv6); ok {
			to = append(to, place{h.Name, []netip.Addr{a}})
		}
	}
	// The next pod in the list that is elsewhere, so that all are called.
	n := len(d.status.Pods)
	for i, p := range d.status.Pods {
		if p.Name != from.Name {
			continue
		}
		for j := range n {
			next := d.status.Pods[(i+j)%n]
			if a, ok := ofFamily(next.Addresses, ipv6); ok && next.Node != from.Node {
				return append(to, place{next.Name, []netip.Addr{a}})
			}
		}
	}
	return to
}

func (d *demo) inPools(a netip.Addr) bool {
	for _, p := range d.state.Pools {
		if p.CIDR.Contains(a) {
			return true
		}
	}
	return false
}

func (d *demo) natOutgoing(a netip.Addr) bool {
	for _, p := range d.state.Pools {
		if p.CIDR.Contains(a) {
			return p.NATOutgoing
		}
	}
	return false
}

// nodeAddress is the address that a node masquerades with.
func (d *demo) nodeAddress(node string, ipv6 bool) netip.Addr {
	if a := d.state.NAT.Address; a.IsValid() && a.Is6() == ipv6 {
		return a
	}
	for _, n := range d.status.Nodes {
		for _, a := range n.Addresses {
			if n.Name == node && a.Addr().Is6() == ipv6 {
				return a.Addr()
			}
		}
	}
	return netip.Addr{}
}
