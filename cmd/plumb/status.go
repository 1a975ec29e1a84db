package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/state"
	"github.com/spf13/cobra"
)

func statusCommand(o *options) *cobra.Command {
	return o.printing(&cobra.Command{
		Use:   "status",
		Short: "print the agent's view of this node",
		Long: "Print the agent's view of this node: its file, the last convergence, what is pending or fails.\n" +
			"Exit status: 0 converged on the current file, 1 not, 2 no agent answers.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s agent.Status
			if err := call(cmd.Context(), o.socket, "GET", "/status", &s); err != nil {
				return fmt.Errorf("status of the agent: %w", err)
			}
			if o.output == "json" {
				if err := printJSON(o.stdout, s); err != nil {
					return err
				}
			} else {
				printStatus(o.stdout, &s, time.Now())
			}
			if !s.Converged {
				return exitError(exitDifferent)
			}
			return nil
		},
	}, "text", "json")
}

func printStatus(out io.Writer, s *agent.Status, now time.Time) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("node", "%s", strings.TrimSpace(s.Node+" "+inBrackets(s.Cluster)))
	row("agent", "%s, process %d, up %s%s", s.Version, s.PID, age(now, s.Started), dryRun(s.DryRun))
	row("file", "%s", fileLine(&s.File, now))
	state := "converged"
	if !s.Converged {
		state = "NOT CONVERGED"
	}
	if !s.LastConverged.IsZero() {
		state += ", last " + age(now, s.LastConverged) + " ago"
	}
	row("state", "%s", state)
	row("objects", "%s", objectsLine(s))
	_ = w.Flush()

	section(out, "errors in the file", s.File.Errors)
	section(out, "failing", failingLines(s.Failing, now))
	section(out, "conflicts", failingLines(s.Conflicts, now))
	var lines []string
	for _, p := range s.Pending {
		lines = append(lines, p.String())
	}
	section(out, "pending", lines)
	lines = nil
	for _, sh := range s.Shadowed {
		lines = append(lines, fmt.Sprintf("%s (%s) by %s", sh.Object, sh.Origin, sh.By))
	}
	section(out, "shadowed", lines)
	section(out, "warnings", append(slices.Clone(s.File.Warnings), s.Warnings...))
	if s.BGP != nil {
		fmt.Fprint(out, "\nBGP: ")
		printSessions(out, s.BGP, now)
	}
	printTunnels(out, s.Tunnels)
	printEndpoints(out, s.Endpoints)
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return "(cluster " + s + ")"
}

func dryRun(on bool) string {
	if on {
		return ", DRY RUN"
	}
	return ""
}

func fileLine(f *agent.FileStatus, now time.Time) string {
	text := f.Path
	if f.Hash != "" {
		text += ", " + f.Hash[:min(12, len(f.Hash))]
	}
	if !f.LoadedAt.IsZero() {
		text += ", loaded " + age(now, f.LoadedAt) + " ago"
	}
	switch {
	case f.Valid:
	case f.LastGood:
		text += ": INVALID, the last good state is in force"
	default:
		text += ": INVALID, nothing is changed"
	}
	return text
}

func objectsLine(s *agent.Status) string {
	var kinds []state.Kind
	for k, c := range s.Objects {
		if c.Wanted > 0 || c.Had > 0 {
			kinds = append(kinds, k)
		}
	}
	slices.SortFunc(kinds, func(a, b state.Kind) int { return a.Rank() - b.Rank() })
	var parts []string
	for _, k := range kinds {
		c := s.Objects[k]
		part := fmt.Sprintf("%s %d", k, c.Wanted)
		switch {
		case c.Had < c.Wanted:
			part = fmt.Sprintf("%s %d of %d", k, c.Had, c.Wanted)
		case c.Had > c.Wanted:
			part += fmt.Sprintf(" (and %d that nobody claims)", c.Had-c.Wanted)
		}
		parts = append(parts, part)
	}
	repaired := 0
	for _, n := range s.Drift {
		repaired += n
	}
	text := strings.Join(parts, ", ")
	if repaired > 0 {
		text += fmt.Sprintf("; put back after other hands: %d", repaired)
	}
	return text
}

func failingLines(list []agent.Failing, now time.Time) []string {
	var out []string
	for _, f := range list {
		line := f.Error
		if f.Object != "" && !strings.Contains(line, f.Object) {
			line = f.Object + ": " + line
		}
		if f.Origin != "" {
			line += "  (" + f.Origin + ")"
		}
		if f.Attempts > 0 {
			line += fmt.Sprintf("  %d attempts in %s", f.Attempts, age(now, f.Since))
		}
		out = append(out, line)
	}
	return out
}

func section(out io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s:\n", title)
	for _, l := range lines {
		fmt.Fprintf(out, "  %s\n", l)
	}
}

// printTunnels prints what `ip -d link`, `ip address` and `bridge fdb` would show.
func printTunnels(out io.Writer, list []agent.TunnelStatus) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TUNNEL\tVNI\tPORT\tLOCAL\tPARENT\tMTU\tADDRESSES\tREMOTES\tSTATE")
	for _, t := range list {
		cells := []string{
			t.Device, figure(int(t.VNI)), figure(int(t.Port)), t.Local, t.Parent, figure(int(t.MTU)),
			strings.Join(t.Addresses, ","), figure(t.Remotes), t.State,
		}
		fmt.Fprintln(w, strings.Join(dashed(cells), "\t"))
	}
	_ = w.Flush()
}

// figure is n; nothing where there is none.
func figure(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// dashed puts a dash into each cell that is empty.
func dashed(cells []string) []string {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	return cells
}

func printEndpoints(out io.Writer, list []agent.EndpointStatus) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAMESPACE\tNAME\tADDRESSES\tINTERFACE\tCONTAINER\tSTATE")
	for _, e := range list {
		name := e.Name
		if name == e.ContainerID {
			name = ""
		}
		cells := []string{e.Namespace, name, strings.Join(e.Addresses, ","), e.Interface, shortID(e.ContainerID), e.State}
		fmt.Fprintln(w, strings.Join(dashed(cells), "\t"))
	}
	_ = w.Flush()
}

// shortID is a container's ID as container runtimes' tools print it.
func shortID(id string) string {
	const digits = 12
	if len(id) > digits && strings.Trim(id, "0123456789abcdef") == "" {
		return id[:digits]
	}
	return id
}

func age(now, then time.Time) string {
	d := now.Sub(then)
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
