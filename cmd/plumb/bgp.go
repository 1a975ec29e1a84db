package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/bgp"
	"github.com/spf13/cobra"
)

func bgpCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bgp",
		Short: "print BGP sessions and routes",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(bgpPeersCommand(o), bgpRoutesCommand(o))
	return cmd
}

func bgpPeersCommand(o *options) *cobra.Command {
	return o.printing(&cobra.Command{
		Use:   "peers",
		Short: "print the BGP sessions of this node",
		Long: "Print the BGP sessions of this node: their states, and for each family how many prefixes were\n" +
			"received, were let in by the import filters, and were sent.\n" +
			"Exit status: 0 printed, 2 no agent answers, or the node speaks no BGP.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s agent.BGPStatus
			if err := call(cmd.Context(), o.socket, "GET", "/bgp/peers", &s); err != nil {
				return fmt.Errorf("BGP sessions: %w", err)
			}
			if o.output == "json" {
				return printJSON(o.stdout, s)
			}
			printSessions(o.stdout, &s, time.Now())
			return nil
		},
	}, "text", "json")
}

func printSessions(out io.Writer, s *agent.BGPStatus, now time.Time) {
	fmt.Fprintf(out, "%s\n", bgpLine(s))
	if len(s.Sessions) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tADDRESS\tASN\tSTATE\tFOR\tFAMILY\tRECEIVED\tACCEPTED\tSENT\tLAST ERROR")
	for _, p := range s.Sessions {
		state := p.State
		if p.Restarting {
			state += ", restarting"
		}
		since := "-"
		if !p.Since.IsZero() {
			since = lately(now, p.Since)
		}
		where := p.Address.String()
		if !p.Address.IsValid() {
			where = p.Prefix.String()
		}
		lead := []string{p.Name, where, strconv.FormatUint(uint64(p.ASN), 10), state, since}
		for i, f := range p.Families {
			why := ""
			if i == 0 {
				why = lastError(&p, now)
			}
			row := slices.Concat(lead, []string{f.Family}, counts(&p, &f), []string{why})
			fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
			lead = make([]string, len(lead)) // said once
		}
	}
	_ = w.Flush()
}

// counts are there while the peer's routes are.
func counts(p *bgp.Session, f *bgp.SessionFamily) []string {
	switch {
	case p.State == bgp.Established:
		return []string{strconv.FormatUint(f.Received, 10), strconv.FormatUint(f.Accepted, 10), strconv.FormatUint(f.Sent, 10)}
	case p.Restarting:
		return []string{strconv.FormatUint(f.Received, 10), "-", "-"}
	}
	return []string{"-", "-", "-"}
}

func lastError(p *bgp.Session, now time.Time) string {
	text := p.LastError
	if text != "" && !p.ErrorAt.IsZero() {
		text += " (" + lately(now, p.ErrorAt) + " ago)"
	}
	if p.Again.After(now) {
		text += "; tried again in " + lately(p.Again, now)
	}
	return text
}

// lately is how long ago something was, in two units at most: sessions last for weeks.
func lately(now, then time.Time) string {
	const day = 24 * time.Hour
	switch d := now.Sub(then); {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return age(now, then)
}

// bgpLine is the speaker in one line.
func bgpLine(s *agent.BGPStatus) string {
	up := 0
	for _, p := range s.Sessions {
		if p.State == bgp.Established {
			up++
		}
	}
	text := fmt.Sprintf("AS %d, router ID %s, %d of %d sessions established, %d prefixes learned", s.ASN, s.RouterID, up, len(s.Sessions), s.Learned)
	switch {
	case s.Drained:
		text += "; DRAINED for maintenance, until the agent is started again"
	case !s.Settled:
		text += "; restarting, learned routes stay as they were"
	}
	return text
}

func bgpRoutesCommand(o *options) *cobra.Command {
	return o.printing(&cobra.Command{
		Use:   "routes [PREFIX | ADDRESS]",
		Short: "print the BGP routes that this node knows",
		Long: "Print all paths of the prefixes within PREFIX, of the prefix by which ADDRESS is reached, or of all:\n" +
			"which is the best, why, and whether its route is in the kernel, or why not. * marks the best paths,\n" +
			"> those whose route is installed.\n" +
			"Exit status: 0 printed, 2 no agent answers, or the node speaks no BGP.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/bgp/routes"
			if len(args) == 1 {
				query, err := ribQuery(args[0])
				if err != nil {
					return err
				}
				path += query
			}
			return printRIB(cmd.Context(), o, path)
		},
	}, "text", "json")
}

func printRIB(ctx context.Context, o *options, path string) error {
	var list []agent.RIBRoute
	if err := call(ctx, o.socket, "GET", path, &list); err != nil {
		return fmt.Errorf("BGP routes: %w", err)
	}
	if o.output == "json" {
		return printJSON(o.stdout, list)
	}
	if len(list) == 0 {
		fmt.Fprintln(o.stderr, "plumb: no path is known")
		return nil
	}
	printRoutes(o.stdout, list)
	return nil
}

// ribQuery asks for what lies in a prefix, or for the way to an address.
func ribQuery(text string) (string, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return "?for=" + url.QueryEscape(a.String()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return "", fmt.Errorf("%q is no prefix; write one such as 10.244.0.0/16, or an address", text)
	}
	return "?prefix=" + url.QueryEscape(p.Masked().String()), nil
}

func printRoutes(out io.Writer, list []agent.RIBRoute) {
	if len(list) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tPREFIX\tNEXT HOP\tPEER\tAS PATH\tPREF\tMED\tCOMMUNITIES\tWHY")
	for i := range list {
		r := &list[i]
		prefix := r.Prefix.String()
		for n := range r.Paths {
			p := &r.Paths[n]
			cells := []string{marks(r, p), prefix, hop(p), peer(p), asPath(p), fmt.Sprint(p.LocalPref), fmt.Sprint(p.MED), strings.Join(p.Communities, ","), why(r, n)}
			for i, c := range cells[1:] {
				if c == "" && i > 0 {
					cells[i+1] = "-"
				}
			}
			fmt.Fprintln(w, strings.Join(cells, "\t"))
			prefix = "" // said once
		}
	}
	_ = w.Flush()
}

func marks(r *agent.RIBRoute, p *bgp.RIBPath) string {
	switch {
	case p.Best && r.Installed:
		return "*>"
	case p.Best:
		return "*"
	}
	return ""
}

func hop(p *bgp.RIBPath) string {
	if !p.Peer.IsValid() || !p.NextHop.IsValid() {
		return ""
	}
	return p.NextHop.String()
}

// peer is the name of who announced the path; with the address where the next hop
// does not tell it.
func peer(p *bgp.RIBPath) string {
	switch {
	case !p.Peer.IsValid():
		return ""
	case p.PeerName == "":
		return p.Peer.String()
	case p.Peer == p.NextHop, strings.HasSuffix(p.PeerName, " "+p.Peer.String()):
		return p.PeerName
	}
	return p.PeerName + " " + p.Peer.String()
}

func asPath(p *bgp.RIBPath) string {
	words := make([]string, 0, len(p.ASPath)+1)
	for _, n := range p.ASPath {
		words = append(words, strconv.FormatUint(uint64(n), 10))
	}
	return strings.Join(words, " ")
}

// why is the reason of the selection, and, of the first path, what became of it.
func why(r *agent.RIBRoute, n int) string {
	text := r.Paths[n].Why
	if len(r.Paths) == 1 && r.WhyNot != "" && !r.Installed {
		text = "" // there was nothing to choose from
	}
	if r.Paths[n].Stale {
		text += "; its peer restarts"
	}
	if n == 0 && r.WhyNot != "" {
		if r.Installed || r.WhyNot == "originated here" {
			text += "; " + r.WhyNot
		} else {
			text += "; not installed: " + r.WhyNot
		}
	}
	return strings.TrimPrefix(text, "; ")
}
