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
	if err == nil {
		return true, ""
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return false, "its agent does not answer"
	}
	var s agentStatus
	if json.Unmarshal(stdout.Bytes(), &s) == nil {
		return false, s.reasons()
	}
	if text := strings.TrimSpace(stderr.String()); text != "" {
		return false, text
	}
	return false, "plumb status: " + err.Error()
}
