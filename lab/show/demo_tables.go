package show

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

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
		mac, err := d.answers(ctx, p)
		if err != nil {
			return err
		}
		t.add(p.Name, strings.TrimSpace(entry), mac)
	}
	t.write(d.w, indent)
	return nil
}

// answers says who answers the pod that asks for the gateway. On a node without a
// default route nobody does, and it is not asked: proxy ARP is for what the node has a
// route to, through another device (arp_process, net/ipv4/arp.c). The pod's own entry
// serves there.
func (d *demo) answers(ctx context.Context, p lab.Pod) (string, error) {
	route, err := d.run(ctx, p.Node, "ip", "-4", "route", "show", "default")
	if err != nil || route == "" {
		return "nobody would: " + p.Node + " has no default route, and the entry serves", err
	}
	mac, err := d.c.ARP(ctx, p.Name, gateway4)
	if err != nil {
		mac = "nobody (" + err.Error() + ")"
	}
	d.expect(mac == state.HostEndMAC, "pod %s: %s is answered for by %s, not by %s", p.Name, gateway4, mac, state.HostEndMAC)
	return mac, nil
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
		m, err := PingAll(ctx, d.c, d.status, ipv6, demoWait)
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
