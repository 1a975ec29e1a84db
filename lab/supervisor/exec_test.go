package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/lab"
)

func TestEnviron(t *testing.T) {
	s := &supervisor{dir: "/base/x", agents: map[string]*agent{"node1": {}}}
	got := s.environ("node1", []string{"PATH=/home/u/bin:/sbin", "HOME=/home/u", "NODE_NAME=elsewhere"})
	want := []string{
		"HOME=/home/u",
		"NODE_NAME=node1",
		"PATH=" + binDir + ":/home/u/bin:/sbin:/usr/sbin",
		"PLUMB_FILE=/base/x/plumb.yaml",
		"PLUMB_LAB=x",
		"PLUMB_LAB_DIR=/base",
		"PLUMB_NODE=node1",
		"PLUMB_SOCKET=/base/x/nodes/node1/plumb.sock",
		"PLUMB_SOCKETS=/base/x/nodes",
		"PLUMB_STATE_DIR=/base/x/nodes/node1/state",
	}
	if !slices.Equal(got, want) {
		t.Errorf("in a node:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, kv := range s.environ("a1", nil) {
		if strings.HasPrefix(kv, "PLUMB_SOCKET=") {
			t.Errorf("a pod has no agent, but %s", kv)
		}
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"runs": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, cwd, path, want string
		err                   error
	}{
		{"runs", "/", "/nowhere:" + dir, dir + "/runs", nil},
		{"./runs", dir, "", dir + "/runs", nil},
		{dir + "/runs", "/", "", dir + "/runs", nil},
		{"runs", dir, "/nowhere", "", errNotFound},
		{"text", "/", dir, "", errNotExecutable},
		{"./text", dir, "", "", errNotExecutable},
		{".", "/", dir, "", errNotExecutable},
	} {
		got, err := lookPath(c.name, c.cwd, []string{"A=B", "PATH=" + c.path})
		if !errors.Is(err, c.err) || (err == nil && got != c.want) {
			t.Errorf("%s in %s with PATH=%s: %q, %v; want %q, %v", c.name, c.cwd, c.path, got, err, c.want, c.err)
		}
	}
}

func TestRunIsForTheLabAlone(t *testing.T) {
	if err := Run(t.Context(), lab.Dir(t.TempDir()), "", 0); err == nil || !strings.Contains(err.Error(), "plumb lab up") {
		t.Errorf("Run outside of its namespaces: %v", err)
	}
}
