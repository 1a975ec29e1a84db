package runtimes

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
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
func asking(a netip.Addr) string { return netip.AddrPortFrom(a, askPort).String() }

// summary is the line of ping(8) that counts.
var summary = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// stream sends packets to addresses, without a pause, until it is called to end;
// then it wants every packet to have been answered.
func (n *node) stream(to ...netip.Addr) (end func()) {
	n.t.Helper()
	out := make([]bytes.Buffer, len(to))
	var pings []*exec.Cmd
	for i, a := range to {
		cmd := exec.Command("ping", "-n", "-q", "-i", "0.01", a.String())
		cmd.Stdout, cmd.Stderr = &out[i], &out[i]
		if err := cmd.Start(); err != nil {
			n.t.Fatal(err)
		}
		pings = append(pings, cmd)
	}
	return func() {
		n.t.Helper()
		for i, cmd := range pings {
			cmd.Process.Signal(syscall.SIGINT)
			err := cmd.Wait()
			counts := summary.FindSubmatch(out[i].Bytes())
			if counts == nil {
				n.t.Errorf("ping %s: %v\n%s", to[i], err, out[i].Bytes())
				continue
			}
			sent, _ := strconv.Atoi(string(counts[1]))
			received, _ := strconv.Atoi(string(counts[2]))
			// The last may have been on its way.
			if sent < 10 || sent-received > 1 {
				n.t.Errorf("ping %s: %d packets sent, %d answered", to[i], sent, received)
			}
		}
	}
}
