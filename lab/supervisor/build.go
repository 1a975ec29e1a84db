package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/lab/probe"
)

// uplink is the interface of a node or host on its segment.
const uplink = "eth0"

// build makes and wires all namespaces.
func (s *supervisor) build(ctx context.Context) error {
	for _, segment := range s.layout.Segments {
		if err := s.addSegment(ctx, segment.Name); err != nil {
			return err
		}
	}
	for _, h := range s.layout.Hosts {
		if err := s.addHost(ctx, h.Name, h.Ports(), h.Loopback, nil); err != nil {
			return err
		}
		if err := s.respond(h.Name); err != nil {
			return err
		}
		if err := s.startRouting(h); err != nil {
			return err
		}
	}
	for _, n := range s.layout.Nodes {
		if err := s.addHost(ctx, n.Name, []lab.Port{{Segment: n.Segment, Addresses: n.Addresses}}, nil, n.Gateways); err != nil {
			return err
		}
	}
	return s.addPods(ctx)
}

// bridge is a segment's device in the segment's namespace.
const bridge = "br0"

func (s *supervisor) addSegment(ctx context.Context, name string) error {
	if err := s.addNamespace(ctx, name); err != nil {
		return err
	}
	// Without snooping, which would withhold neighbour discovery until it has
	// learned the groups, and without the delay of spanning tree.
	return s.ip(ctx, name,
		"link add "+bridge+" type bridge forward_delay 0 mcast_snooping 0",
		"link set "+bridge+" up")
}

// addHost makes a node or host on its segments: eth0 on the first, eth1 …
func (s *supervisor) addHost(ctx context.Context, name string, ports []lab.Port, loopback []netip.Prefix, gateways []netip.Addr) error {
	if err := s.addNamespace(ctx, name); err != nil {
		return err
	}
	var lines []string
	for i, p := range ports {
		dev := fmt.Sprintf("eth%d", i)
		// The port has the name of who is behind it, for who looks at the bridge.
		err := s.ip(ctx, p.Segment,
			fmt.Sprintf("link add %s type veth peer name %s netns %s", name, dev, name),
			fmt.Sprintf("link set %s master %s up", name, bridge))
		if err != nil {
			return err
		}
		for _, a := range p.Addresses {
			lines = append(lines, fmt.Sprintf("address add %s dev %s", a, dev))
		}
		lines = append(lines, "link set "+dev+" up")
	}
	for _, a := range loopback {
		lines = append(lines, fmt.Sprintf("address add %s dev lo", a))
	}
	for _, gw := range gateways {
		lines = append(lines, fmt.Sprintf("route add default via %s dev %s", gw, uplink))
	}
	return s.ip(ctx, name, lines...)
}

// sysctls are set in every namespace before it has interfaces, since new
// namespaces take over some of what the machine has. That a node forwards is
// plumb's to see to.
var sysctls = [][2]string{
	{"net/ipv4/ip_forward", "0"},
	{"net/ipv4/conf/all/rp_filter", "0"},
	{"net/ipv4/conf/default/rp_filter", "0"},
	{"net/ipv4/conf/all/proxy_arp", "0"},
	{"net/ipv4/conf/default/proxy_arp", "0"},
	{"net/ipv6/conf/all/disable_ipv6", "0"},
	{"net/ipv6/conf/default/disable_ipv6", "0"},
	{"net/ipv6/conf/default/accept_ra", "0"},
	{"net/ipv6/conf/default/accept_dad", "0"}, // else each address waits a second
	{"net/ipv6/conf/default/router_solicitations", "0"},
}

func (s *supervisor) addNamespace(ctx context.Context, name string) error {
	if err := ns.Add(name); err != nil {
		return err
	}
	err := ns.Do(name, func() error {
		for _, kv := range sysctls {
			if err := os.WriteFile("/proc/sys/"+kv[0], []byte(kv[1]), 0); err != nil {
				return fmt.Errorf("namespace %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.ip(ctx, name, "link set lo up")
}

// ip runs ip -batch in a namespace.
func (s *supervisor) ip(ctx context.Context, name string, lines ...string) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := s.reaper.runIn(name, cmd); err != nil {
		return fmt.Errorf("ip in %s: %w\n%s%s", name, err, out.Bytes(), lab.Indent(strings.Join(lines, "\n")))
	}
	return nil
}

// respond makes a pod or host answer who asks under which address it is seen.
func (s *supervisor) respond(name string) error {
	return ns.Do(name, func() error {
		c, err := probe.Serve()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.closer = append(s.closer, c)
		return nil
	})
}
