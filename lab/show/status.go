package show

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/plumbnet/plumb/lab"
)

// Status prints a lab's nodes, pods and hosts.
func Status(w io.Writer, s *lab.Status) {
	fmt.Fprintf(w, "lab %s, topology %s, in %s\n\n", s.Name, s.Topology, s.Dir)
	nodes := table{{"NODE", "ADDRESSES", "AGENT", "RESTARTS", "STATE"}}
	for _, n := range s.Nodes {
		pid, state := "-", "converged"
		if n.PID != 0 {
			pid = strconv.Itoa(n.PID)
		}
		if !n.Converged {
			first, _, _ := strings.Cut(n.Message, "\n")
			state = "not converged: " + first
		}
		nodes.add(n.Name, joined(n.Addresses), pid, strconv.Itoa(n.Restarts), state)
	}
	nodes.write(w, "")
	pods := table{{"POD", "NODE", "ADDRESSES", "INTERFACE"}}
	for _, p := range s.Pods {
		pods.add(p.Name, p.Node, joined(p.Addresses), p.Interface)
	}
	fmt.Fprintln(w)
	pods.write(w, "")
	if len(s.Hosts) == 0 {
		return
	}
	hosts := table{{"HOST", "SEGMENT", "ADDRESSES", "BEYOND"}}
	for _, h := range s.Hosts {
		hosts.add(h.Name, h.Segment, joined(h.Addresses), joined(h.Loopback))
	}
	fmt.Fprintln(w)
	hosts.write(w, "")
}
