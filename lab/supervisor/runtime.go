package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// runtimeExec executes CNI plugins as a node's container runtime does: in the
// node's namespace. It implements invoke.Exec, whose own implementation knows no
// namespaces, and waits for processes that the reaper must know of.
type runtimeExec struct {
	version.PluginDecoder
	node   string
	reaper *reaper
}

// ExecPlugin gives what the plugin prints. Its error is the plugin's own, where it
// said one.
func (e *runtimeExec) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err := e.reaper.runIn(e.node, cmd)
	if err == nil {
		return stdout.Bytes(), nil
	}
	var said types.Error
	if json.Unmarshal(stdout.Bytes(), &said) == nil && said.Msg != "" {
		return nil, &said
	}
	return nil, fmt.Errorf("%s: %w: %s", path, err, strings.TrimSpace(stderr.String()+stdout.String()))
}

// FindInPath finds a plugin in the directories of plugins.
func (e *runtimeExec) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}
