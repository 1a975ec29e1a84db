package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/plumbnet/plumb/trace"
	"github.com/plumbnet/plumb/trace/facts"
	"github.com/spf13/cobra"
)

// tracing are the flags of trace.
type tracing struct {
	*options
	packet  facts.Packet
	source  string
	v4, v6  bool
	sockets string
	live    bool
	notes   []string // what is to be said besides
}

func traceCommand(o *options) *cobra.Command {
	t := &tracing{options: o}
	cmd := o.printing(&cobra.Command{
		Use:   "trace FROM TO",
		Short: "follow a packet from hop to hop, and say what becomes of it",
		Long: "Follow a packet as each kernel on its way answers: the route and where that comes from, the\n" +
			"neighbour, the devices, what plumb's nftables chains do with it; then the next node, through\n" +
			"its agent, and the way back. FROM and TO are a pod (namespace/name), an address or a node;\n" +
			"TO may also be a domain's name that this host's resolver knows.\n" +
			"The last line says whether and how it arrives, or which hop drops it and what mends that.\n" +
			"Exit status: 0 delivered, 1 not, 2 error.",
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return t.run(cmd.Context(), args[0], args[1]) },
	}, "text", "json")
	f := cmd.Flags()
	f.StringVar(&t.packet.Proto, "proto", "icmp", "`protocol` of the packet: icmp, tcp, udp")
	f.Uint16Var(&t.packet.DstPort, "port", 0, "destination `port`, with tcp or udp")
	f.IntVar(&t.packet.Size, "size", 0, "its size in `bytes`, with its IP header (default: any that the sender's MTU allows)")
	f.StringVar(&t.source, "source", "", "the `address` that it comes from (default: FROM's own)")
	f.BoolVarP(&t.v4, "ipv4", "4", false, "over IPv4")
	f.BoolVarP(&t.v6, "ipv6", "6", false, "over IPv6")
	f.BoolVar(&t.live, "live", false, "send a real packet too, and print what nftables does with it on each node")
	f.StringVar(&t.sockets, "sockets", env("PLUMB_SOCKETS", ""), "`directory` with the agents' sockets of other nodes, NODE.sock or NODE/plumb.sock ($PLUMB_SOCKETS)")
	return cmd
}

// check refuses what is no packet.
func (t *tracing) check() error {
	p := &t.packet
	switch p.Proto {
	case "icmp", "tcp", "udp":
	default:
		return fmt.Errorf("--proto %q: it is one of icmp, tcp, udp", p.Proto)
	}
	switch {
	case p.Proto == "icmp" && p.DstPort != 0:
		return errors.New("--port: icmp has no ports; give --proto tcp or udp too")
	case p.Proto != "icmp" && p.DstPort == 0:
		return fmt.Errorf("--proto %s: give --port too", p.Proto)
	case t.v4 && t.v6:
		return errors.New("-4 and -6: give one of them")
	case t.live && t.source != "":
		return errors.New("--live: a real packet comes from FROM's own address; leave out --source")
	case p.Size < 0 || p.Size > 65535:
		return fmt.Errorf("--size %d: it is 1 to 65535", p.Size)
	}
	return nil
}

func (t *tracing) run(ctx context.Context, from, to string) error {
	if err := t.check(); err != nil {
		return err
	}
	c, err := newCluster(ctx, t.options, t.sockets)
	if err != nil {
		return err
	}
	defer c.close()
	d := c.directory(ctx)
	start, packet, name, err := t.ends(ctx, d, from, to)
	if err != nil {
		return err
	}
	result, err := trace.Follow(ctx, c.loaded.File, start, name, packet, c.ask)
	if err != nil {
		return err
	}
	result.Warnings = append(t.notes, result.Warnings...)
	if t.live {
		result.Compare(c.probe(ctx, result, start))
	}
	if t.output == "json" {
		err = printJSON(t.stdout, result)
	} else {
		err = result.Write(t.stdout, t.paint())
	}
	if err == nil && result.Probe != nil && result.Probe.Err != "" {
		return fmt.Errorf("--live: no probe was sent: %s", result.Probe.Err)
	}
	if err == nil && !result.OK() {
		return exitError(exitDifferent)
	}
	return err
}

// ends finds both ends, and makes the packet.
func (t *tracing) ends(ctx context.Context, d *trace.Directory, from, to string) (start trace.Start, p facts.Packet, name string, err error) {
	a, err := d.Find(from)
	if err != nil {
		return start, p, "", fmt.Errorf("FROM: %w", err)
	}
	if a.Node == "" {
		return start, p, "", fmt.Errorf("FROM: %s is no endpoint that is known, and no node's address: a packet has to start in the cluster%s", from, d.Elsewhere(a))
	}
	b, err := d.Find(to)
	if err != nil {
		if strings.Contains(to, ".") { // a domain's name
			var unknown error
			if b, unknown = lookUp(ctx, to); unknown != nil {
				err = fmt.Errorf("%w; %w", err, unknown)
			} else {
				err = nil
			}
		}
	}
	if err != nil {
		return start, p, "", fmt.Errorf("TO: %w", err)
	}
	family := 0
	switch {
	case t.v4:
		family = 4
	case t.v6:
		family = 6
	}
	p = t.packet
	if p.Src, p.Dst, err = trace.Addresses(a, b, family); err != nil {
		return start, p, "", err
	}
	if len(b.Addresses) > 1 && b.Node == "" {
		t.notes = append(t.notes, fmt.Sprintf("%s has several addresses, %v: this is the way to %s", to, b.Addresses, p.Dst))
	}
	if a.Endpoint == "" && !isAddress(from) {
		p.Src = netip.Addr{} // the node's kernel chooses
	}
	if t.source != "" {
		if p.Src, err = netip.ParseAddr(t.source); err != nil {
			return start, p, "", fmt.Errorf("--source: %w", err)
		}
		if p.Src.Is4() != p.Dst.Is4() {
			return start, p, "", fmt.Errorf("--source %s: %s is of the other family", p.Src, p.Dst)
		}
	}
	if p.Proto != "icmp" {
		p.SrcPort = 40000 // of those that programs are given (ip_local_port_range)
	}
	return trace.Start{Node: a.Node, Endpoint: a.Endpoint, Name: a.Name}, p, b.Name, nil
}

// lookUp asks this host's resolver for what is no name of plumb's. A pod may be told
// otherwise by its own.
func lookUp(ctx context.Context, name string) (trace.End, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return trace.End{}, fmt.Errorf("and this host's resolver: %w", err)
	}
	e := trace.End{Name: name}
	for _, a := range list {
		e.Addresses = append(e.Addresses, a.Unmap())
	}
	return e, nil
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func (o *options) paint() trace.Paint {
	if !o.colour() {
		return nil
	}
	codes := map[trace.Colour]string{trace.Place: "1", trace.Name: "36", trace.Source: "2", trace.Warn: "33", trace.Fail: "31", trace.Good: "32"}
	return func(c trace.Colour, s string) string { return "\x1b[" + codes[c] + "m" + s + "\x1b[0m" }
}
