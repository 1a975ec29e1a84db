package show

import (
	"context"
	"fmt"
	"strings"
)

// bgp shows what a route reflector of the lab knows: a node that speaks BGP and has
// no pods.
func (d *demo) bgp(ctx context.Context) error {
	for _, n := range d.status.Nodes {
		if d.state.BGP == nil || d.hasPods(n.Name) {
			continue
		}
		d.title("The route reflector "+n.Name, "Its sessions and its RIB (`plumb bgp peers`, `plumb bgp routes`): each node's podCIDRs, with the node as next hop.")
		for i, verb := range []string{"peers", "routes"} {
			text, err := d.run(ctx, n.Name, "plumb", "bgp", verb)
			if err != nil {
				return err
			}
			if i > 0 {
				fmt.Fprintln(d.w)
			}
			for line := range strings.Lines(text) {
				fmt.Fprintf(d.w, "%s%s\n", indent, strings.TrimRight(line, "\n"))
			}
			if verb == "routes" {
				d.reflects(n.Name, text)
			}
		}
	}
	return nil
}

func (d *demo) hasPods(node string) bool {
	for _, p := range d.status.Pods {
		if p.Node == node {
			return true
		}
	}
	return false
}

// reflects expects every node's podCIDRs in a reflector's RIB.
func (d *demo) reflects(reflector, rib string) {
	for _, n := range d.state.Nodes {
		for _, c := range n.PodCIDRs {
			d.expect(strings.Contains(rib, c.Prefix.String()+" "), "%s does not know %s of %s", reflector, c.Prefix, n.Name)
		}
	}
}
