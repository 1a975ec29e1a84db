package show

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// bgp shows who knows all the routes: route reflectors (a node that speaks BGP and has
// no pods, or gobgpd) and routers outside; where there are none, a node.
func (d *demo) bgp(ctx context.Context) error {
	if d.state.BGP == nil {
		return nil
	}
	shown := false
	for _, n := range d.status.Nodes {
		if d.hasPods(n.Name) {
			continue
		}
		shown = true
		d.title("The route reflector "+n.Name, "Its sessions and its RIB (`plumb bgp peers`, `plumb bgp routes`): each node's podCIDRs, with the node as next hop.")
		if err := d.all(ctx, n.Name, "plumb bgp peers", "plumb bgp routes"); err != nil {
			return err
		}
	}
	for _, h := range d.hosts {
		var err error
		switch {
		case h.GoBGPd != "":
			d.title("The route reflector "+h.Name, "Its neighbours and its RIB (`gobgp neighbor`, `gobgp global rib`): each node's podCIDRs, with the node as next hop.")
			err = d.all(ctx, h.Name, "gobgp neighbor", "gobgp global rib")
		case strings.Contains(h.Bird, "protocol bgp"):
			d.title("The router "+h.Name, "Its sessions and its routes (`birdc show protocols`, `birdc show route`): what its filters let in of the nodes' podCIDRs.")
			// Debian has BIRD where only root looks.
			birdc := "PATH=$PATH:/usr/sbin:/sbin birdc -s " + filepath.Join(d.dir.Host(h.Name), "bird.ctl")
			_, err = d.prints(ctx, h.Name, birdc+" show protocols", birdc+" show route")
		default:
			continue
		}
		shown = true
		if err != nil {
			return err
		}
	}
	if shown {
		return nil
	}
	first := d.status.Nodes[0].Name
	d.title("BGP on "+first, "Its sessions and its RIB (`plumb bgp peers`, `plumb bgp routes`): every node's podCIDRs, its own among them.")
	return d.all(ctx, first, "plumb bgp peers", "plumb bgp routes")
}

// all shows what commands print, the last of which has every node's podCIDRs.
func (d *demo) all(ctx context.Context, where string, commands ...string) error {
	rib, err := d.prints(ctx, where, commands...)
	if err == nil {
		d.reflects(where, rib)
	}
	return err
}

// prints shows what commands print, and gives what the last did.
func (d *demo) prints(ctx context.Context, where string, commands ...string) (text string, err error) {
	for i, command := range commands {
		if text, err = d.run(ctx, where, "sh", "-c", command); err != nil {
			return "", err
		}
		if i > 0 {
			fmt.Fprintln(d.w)
		}
		for line := range strings.Lines(text) {
			fmt.Fprintf(d.w, "%s%s\n", indent, strings.TrimRight(line, " \n"))
		}
	}
	return text, nil
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
