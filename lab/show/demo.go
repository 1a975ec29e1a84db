package show

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/state/desired"
)

// demo is a demonstration under way.
type demo struct {
	w       io.Writer
	c       *lab.Client
	status  *lab.Status
	state   *desired.File
	hosts   []lab.Host // with the routers that they run
	dir     lab.Dir
	section int
	wrong   []string // what is not as it should be
}

// ErrWrong says that a lab's network is not as it should be.
var ErrWrong = errors.New("not as it should be")

// Demo brings a lab up, shows its network and how it is kept, and takes it down.
// Where something is not as it should be it says so and gives an error.
func Demo(ctx context.Context, w io.Writer, t lab.Topology, o lab.Options) (err error) {
	layout, err := t.Layout()
	if err != nil {
		return err
	}
	began := time.Now()
	c, err := lab.Start(ctx, t, o)
	if err != nil {
		return err
	}
	defer func() {
		// The lab goes down also where ctx has ended.
		_, e := lab.Down(context.WithoutCancel(ctx), o.Dir)
		if ctx.Err() != nil && e == nil {
			err = fmt.Errorf("interrupted; the lab is taken down: %w", context.Cause(ctx))
			return
		}
		err = errors.Join(err, e)
	}()
	fmt.Fprintf(w, "A lab of the topology %q: %d nodes with a plumb agent each, %d pods.\n", t.Name, len(layout.Nodes), len(layout.Pods()))
	took := time.Since(began)

	d := &demo{w: w, c: c, state: layout.State, hosts: layout.Hosts, dir: o.Dir}
	if d.status, err = c.Status(ctx); err != nil {
		return err
	}
	d.up(took)
	for _, show := range []func(context.Context) error{d.pods, d.routes, d.bgp, d.gateway, d.pings, d.sources, d.breakRoute} {
		if err := show(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	if err := d.verdict(); err != nil {
		return err
	}
	fmt.Fprintln(w, "All is as it should be. The lab is taken down.")
	return nil
}

// up says how long it took, and what the nodes lack that this kernel cannot give them.
func (d *demo) up(took time.Duration) {
	if d.status.Converged() {
		fmt.Fprintf(d.w, "It was up, and every agent had converged, after %.1f s.\n", took.Seconds())
		return
	}
	fmt.Fprintf(d.w, "It was up after %.1f s, but for what this kernel lacks:\n", took.Seconds())
	nodes := map[string][]string{} // by what they lack
	for _, n := range d.status.Nodes {
		if !n.Converged {
			first, _, _ := strings.Cut(n.Message, "\n")
			nodes[first] = append(nodes[first], n.Name)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(nodes)) {
		fmt.Fprintf(d.w, "%s%s (%s)\n", indent, what, strings.Join(nodes[what], ", "))
		d.expect(false, "%s (%s)", what, strings.Join(nodes[what], ", "))
	}
}

func (d *demo) verdict() error {
	if len(d.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w:\n%s", ErrWrong, lab.Indent(strings.Join(d.wrong, "\n")))
}

// title begins a section; what says in one line what is shown.
func (d *demo) title(title, what string) {
	d.section++
	fmt.Fprintf(d.w, "\n%d. %s\n   %s\n\n", d.section, title, what)
}

const indent = "   "

// expect notes what is not as it should be.
func (d *demo) expect(ok bool, format string, args ...any) {
	if !ok {
		d.wrong = append(d.wrong, fmt.Sprintf(format, args...))
	}
}

// run gives what a command prints that has to succeed.
func (d *demo) run(ctx context.Context, where string, args ...string) (string, error) {
	stdout, stderr, code, err := d.c.Output(ctx, where, args...)
	if err != nil {
		return "", err
	}
	if code != 0 {
		return "", fmt.Errorf("%s in %s: exit status %d: %s", strings.Join(args, " "), where, code, strings.TrimSpace(stderr))
	}
	return strings.TrimRight(stdout, "\n"), nil
}
