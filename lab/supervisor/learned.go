package supervisor

import (
	"bytes"
	"context"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/plumbnet/plumb/state/desired"
)

// notLearned gives what a node has to learn over BGP, and has not: the podCIDRs of
// the other nodes that are in pools with such reachability. A session that is up
// may have more to say. Routes that are known to fail are none of these.
func (s *supervisor) notLearned(ctx context.Context, node, failing string) (missing []string, err error) {
	wanted := s.toLearn(node)
	if len(wanted) == 0 {
		return nil, nil
	}
	have := map[string]bool{}
	for _, family := range []string{"-4", "-6"} {
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, "ip", family, "route", "show", "proto", "113")
		cmd.Stdout = &out
		if err := s.reaper.runIn(node, cmd); err != nil {
			return nil, err
		}
		for line := range strings.Lines(out.String()) {
			prefix, _, _ := strings.Cut(line, " ")
			have[strings.TrimSpace(prefix)] = true
		}
	}
	for _, p := range wanted {
		if !have[p.String()] && !strings.Contains(failing, "route "+p.String()+" ") && !strings.Contains(failing, "route "+p.String()+":") {
			missing = append(missing, "no route to "+p.String()+" is learned yet")
		}
	}
	return missing, nil
}

func (s *supervisor) toLearn(node string) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range s.layout.Nodes {
		other, ok := s.layout.State.Node(n.Name)
		if n.Name == node && n.State != "" {
			return nil // it has a state of its own
		}
		if n.Name == node || !ok {
			continue
		}
		for _, c := range other.PodCIDRs {
			for _, p := range s.layout.State.Pools {
				if p.Reachability == desired.ByBGP && p.CIDR.Contains(c.Prefix.Addr()) {
					out = append(out, c.Prefix)
				}
			}
		}
	}
	return out
}
