package runtimes

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
)

// silent asks the echo at an address of its TCP port which of the addresses do not
// answer it.
func (n *node) silent(server string, whom []netip.Addr) error {
	return n.answered(exec.Command(program("echo"), "ask", server), server, whom)
}

// hostPort is the node's port that is published for the TCP port of one container.
const hostPort = 8080

// published wants who has the published port to answer the neighbour there, at both
// of the node's addresses, and to reach everybody: so it is a container.
func (n *node) published(everyone []netip.Addr) {
	n.t.Helper()
	for _, host := range []netip.Addr{node4, node6} {
		server := netip.AddrPortFrom(host, hostPort).String()
		cmd := exec.Command("ip", "netns", "exec", neighbour, program("echo"), "ask", server)
		if err := n.answered(cmd, server, everyone); err != nil {
			n.t.Errorf("published port: %v", err)
		}
	}
}

// answered gives an error where the server cannot be asked, or one is silent to it.
func (n *node) answered(cmd *exec.Cmd, server string, whom []netip.Addr) error {
	var question strings.Builder
	for _, a := range whom {
		fmt.Fprintln(&question, a)
	}
	cmd.Stdin = strings.NewReader(question.String())
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	case len(out) > 0:
		return fmt.Errorf("silent to %s: %s", server, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}

// asking is where the echo of an address is asked.
func asking(a netip.Addr) string { return net.JoinHostPort(a.String(), askPort) }
