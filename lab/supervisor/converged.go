package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// agentStatus is what `plumb status -o json` says of a node that has not converged.
type agentStatus struct {
	Converged bool `json:"converged"`
	File      struct {
		Errors []string `json:"errors"`
	} `json:"file"`
	Failing []struct {
		Object string `json:"object"`
		Error  string `json:"error"`
	} `json:"failing"`
	Conflicts []struct {
		Object string `json:"object"`
		Error  string `json:"error"`
	} `json:"conflicts"`
	Pending []struct {
		Endpoint string `json:"endpoint"`
		Reason   string `json:"reason"`
	} `json:"pending"`
	BGP *struct {
		Sessions []struct {
			Name  string `json:"name"`
			State string `json:"state"`
		} `json:"sessions"`
	} `json:"bgp"`
}

// sessionsDown names the BGP sessions that are not established.
func (s *agentStatus) sessionsDown() []string {
	var out []string
	if s.BGP != nil {
		for _, p := range s.BGP.Sessions {
			if p.State != "established" {
				out = append(out, "BGP session with "+p.Name+": "+p.State)
			}
		}
	}
	return out
}

// reasons says why a node has not converged.
func (s *agentStatus) reasons() string {
	out := s.File.Errors
	for _, f := range append(s.Failing, s.Conflicts...) {
		out = append(out, f.Object+": "+f.Error)
	}
	for _, p := range s.Pending {
		out = append(out, p.Endpoint+": "+p.Reason)
	}
	out = append(out, s.sessionsDown()...)
	if len(out) == 0 {
		return "its agent is at work"
	}
	return strings.Join(out, "\n")
}

// beyondKernel says whether all that a node lacks is devices that this kernel does not
// make, and what goes through them: waiting would not help.
func (s *agentStatus) beyondKernel() bool {
	var lacking []string
	for _, f := range s.Failing {
		if dev, ok := strings.CutPrefix(f.Object, "link "); ok && strings.Contains(f.Error, "this kernel makes no devices of type") {
			lacking = append(lacking, dev)
		}
	}
	for _, f := range s.Failing {
		if !slices.ContainsFunc(lacking, func(dev string) bool { return strings.Contains(f.Object+": "+f.Error, dev) }) {
			return false
		}
	}
	return len(lacking) > 0 && len(s.File.Errors)+len(s.Conflicts)+len(s.Pending)+len(s.sessionsDown()) == 0
}

// standing is how far a node has come.
type standing byte

const (
	atWork       standing = iota
	asKernelLets          // all that this kernel can do is done
	converged             // with all
)

// standing asks the agent as a user would, and gives the reasons where it has not
// converged.
func (a *agent) standing(ctx context.Context) (standing, string) {
	// One that is stopped (SIGSTOP) does not answer; one of a busy machine does, seconds later.
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(binDir, "plumb"), "status", "-o", "json", "--socket", a.dir.Socket(a.node))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := a.reaper.runIn(a.node, cmd)
	var s agentStatus
	decoded := json.Unmarshal(stdout.Bytes(), &s) == nil
	if err == nil {
		down := s.sessionsDown()
		if len(down) > 0 {
			return atWork, strings.Join(down, "\n")
		}
		return converged, ""
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return atWork, "its agent does not answer"
	}
	if decoded && s.beyondKernel() {
		return asKernelLets, s.reasons()
	}
	if decoded {
		return atWork, s.reasons()
	}
	if text := strings.TrimSpace(stderr.String()); text != "" {
		return atWork, text
	}
	return atWork, "plumb status: " + err.Error()
}
