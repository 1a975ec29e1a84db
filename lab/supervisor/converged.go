package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
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

// converged asks the agent as a user would, and gives the reasons where it has not.
func (a *agent) converged(ctx context.Context) (bool, string) {
	// One that is stopped (SIGSTOP) does not answer.
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(binDir, "plumb"), "status", "-o", "json", "--socket", a.dir.Socket(a.node))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := a.reaper.runIn(a.node, cmd)
	var s agentStatus
	decoded := json.Unmarshal(stdout.Bytes(), &s) == nil
	if err == nil {
		down := s.sessionsDown()
		return len(down) == 0, strings.Join(down, "\n")
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return false, "its agent does not answer"
	}
	if decoded {
		return false, s.reasons()
	}
	if text := strings.TrimSpace(stderr.String()); text != "" {
		return false, text
	}
	return false, "plumb status: " + err.Error()
}
