package show

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/plumbnet/plumb/state/desired"
)

// bgpPatience is how long sessions get to come up and routes to come: GoBGP waits a
// few seconds between its attempts to call.
const bgpPatience = 60 * time.Second

// bgp shows the sessions of each node, and what is in the RIB of the reflectors, or,
// where there are none, of the first node.
func (d *demo) bgp(ctx context.Context) error {
	if d.state.BGP == nil {
		return nil
	}
	if err := d.awaitBGP(ctx); err != nil {
		return err
	}
	d.title("BGP", "`plumb bgp peers` in each node; `plumb bgp routes` where routes are reflected: * best, > in the kernel.")
	show := func(node, verb string) error {
		text, err := d.run(ctx, node, "plumb", "bgp", verb)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.w, "%s%s\n", indent, node)
		for line := range strings.Lines(text) {
			fmt.Fprintf(d.w, "%s  %s\n", indent, strings.TrimRight(line, "\n"))
		}
		fmt.Fprintln(d.w)
		return nil
	}
	for _, n := range d.status.Nodes {
		if err := show(n.Name, "peers"); err != nil {
			return err
		}
	}
	for _, node := range d.ribs() {
		if err := show(node, "routes"); err != nil {
			return err
		}
	}
	return nil
}

// ribs are the nodes whose RIB is worth a look.
func (d *demo) ribs() []string {
	var out []string
	for _, n := range d.state.Nodes {
		if n.RouteReflector != nil {
			out = append(out, n.Name)
		}
	}
	if out == nil {
		out = []string{d.status.Nodes[0].Name}
	}
	return out
}

// awaitBGP waits until every node knows the podCIDRs of all others.
func (d *demo) awaitBGP(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bgpPatience, fmt.Errorf("BGP has not told every node of all podCIDRs within %s", bgpPatience))
	defer cancel()
	for _, n := range d.status.Nodes {
		for {
			text, err := d.run(ctx, n.Name, "plumb", "bgp", "peers", "-o", "json")
			var s struct{ Learned int }
			if err == nil && json.Unmarshal([]byte(text), &s) == nil && s.Learned >= othersPodCIDRs(d.state, n.Name) {
				break
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

func othersPodCIDRs(f *desired.File, node string) int {
	count := 0
	for i := range f.Nodes {
		if f.Nodes[i].Name != node {
			count += len(f.Nodes[i].PodCIDRs)
		}
	}
	return count
}
