package show

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// repairWait is how long a repair may take before it counts as none.
const repairWait = 10 * time.Second

// breakRoute deletes a route of plumb's under a stopped agent, to show what
// that does and how `plumb diff` tells it; then under a running one.
func (d *demo) breakRoute(ctx context.Context) error {
	node, from, to, prefix, ok := d.victim()
	if !ok {
		return nil // a lab of one node
	}
	d.title("A route breaks", fmt.Sprintf("The agent of %s is stopped (SIGSTOP), or it would be too quick to show; then its route to pod %s is deleted.", node, to.name))
	if err := d.c.Signal(ctx, node, syscall.SIGSTOP); err != nil {
		return err
	}
	if err := d.deleteRoute(ctx, node, prefix); err != nil {
		return err
	}
	if err := d.pingOnce(ctx, from, to, time.Second, false); err != nil {
		return err
	}
	if err := d.diff(ctx, node, prefix); err != nil {
		return err
	}

	d.title("The agent repairs it", "The agent goes on (SIGCONT); then the same route is deleted again while it runs. Times are upper bounds, found by asking again and again.")
	began := time.Now()
	if err := d.c.Signal(ctx, node, syscall.SIGCONT); err != nil {
		return err
	}
	if err := d.repaired(ctx, node, prefix, began, "SIGCONT"); err != nil {
		return err
	}
	if err := d.deleteRoute(ctx, node, prefix); err != nil {
		return err
	}
	if err := d.repaired(ctx, node, prefix, time.Now(), "the deletion"); err != nil {
		return err
	}
	if err := d.pingOnce(ctx, from, to, demoWait, true); err != nil {
		return err
	}
	return d.settled(ctx, node)
}

// victim is the first pod's node and the route to that pod, which a pod of another
// node pings.
func (d *demo) victim() (node, from string, to place, prefix netip.Prefix, ok bool) {
	for _, p := range d.status.Pods {
		a, has := ofFamily(p.Addresses, false)
		switch {
		case !has:
		case node == "":
			node, to, prefix = p.Node, place{p.Name, []netip.Addr{a}}, netip.PrefixFrom(a, a.BitLen())
		case p.Node != node:
			return node, p.Name, to, prefix, true
		}
	}
	return "", "", place{}, netip.Prefix{}, false
}

func (d *demo) deleteRoute(ctx context.Context, node string, prefix netip.Prefix) error {
	fmt.Fprintf(d.w, "%s%s# ip route del %s\n", indent, node, prefix.Addr())
	_, err := d.run(ctx, node, "ip", "route", "del", prefix.Addr().String())
	return err
}

// pingOnce shows a single ping and whether it is as it should be.
func (d *demo) pingOnce(ctx context.Context, from string, to place, wait time.Duration, answered bool) error {
	results, err := d.c.Ping(ctx, from, to.addresses[:1], wait)
	if err != nil {
		return err
	}
	r := results[0]
	outcome := r.Error
	if outcome == "" {
		outcome = milliseconds(r.RTT) + " ms"
	}
	fmt.Fprintf(d.w, "%sping from %s to %s (%s): %s\n", indent, from, to.name, r.To, outcome)
	d.expect((r.Error == "") == answered, "the ping from %s to %s: %s", from, to.name, outcome)
	return nil
}

func (d *demo) diff(ctx context.Context, node string, prefix netip.Prefix) error {
	stdout, stderr, code, err := d.c.Output(ctx, node, "plumb", "diff", "--no-color")
	if err != nil {
		return err
	}
	fmt.Fprintf(d.w, "%s%s# plumb diff\n", indent, node)
	for line := range strings.Lines(stdout + stderr) {
		fmt.Fprintf(d.w, "%s  %s\n", indent, strings.TrimRight(line, "\n"))
	}
	fmt.Fprintf(d.w, "%s  (exit status %d)\n", indent, code)
	d.expect(code == 1 && strings.Contains(stdout, "+ route "+prefix.String()),
		"plumb diff with the route to %s deleted: exit status %d, and it does not say that the route is to be added", prefix, code)
	return nil
}

// repaired waits for the route and shows how long that took.
func (d *demo) repaired(ctx context.Context, node string, prefix netip.Prefix, since time.Time, what string) error {
	for {
		text, err := d.run(ctx, node, "ip", "route", "show", prefix.String())
		if err != nil {
			return err
		}
		took := time.Since(since)
		if text != "" {
			fmt.Fprintf(d.w, "%s  %s\n", indent, strings.TrimSpace(text))
			fmt.Fprintf(d.w, "%s  (back %d ms after %s)\n", indent, took.Milliseconds(), what)
			return nil
		}
		if took > repairWait {
			fmt.Fprintf(d.w, "%s  (not back %s after %s)\n", indent, repairWait, what)
			d.expect(false, "the route to %s was not put back within %s of %s", prefix, repairWait, what)
			return nil
		}
	}
}

// settled shows that nothing is left to do.
func (d *demo) settled(ctx context.Context, node string) error {
	stdout, stderr, code, err := d.c.Output(ctx, node, "plumb", "diff", "--no-color")
	if err != nil {
		return err
	}
	fmt.Fprintf(d.w, "%s%s# plumb diff\n", indent, node)
	for line := range strings.Lines(stdout + stderr) {
		fmt.Fprintf(d.w, "%s  %s\n", indent, strings.TrimRight(line, "\n"))
	}
	meaning := map[int]string{0: ": no difference", 1: ": differences"}[code]
	fmt.Fprintf(d.w, "%s  (exit status %d%s)\n", indent, code, meaning)
	d.expect(code == 0, "plumb diff after the repair: exit status %d:\n%s%s", code, stdout, stderr)
	return nil
}
