// Package conformance runs the CNI plugin as container runtimes do: the real
// binary, by libcni or by hand, on nodes and pods that are network namespaces. It
// knows what the CNI specification 1.1.0 and plumb's documentation say, and nothing
// of the plugin's code.
package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs is the environment variable with the folder of the built programs,
// which a test's child in its namespace inherits.
const programs = "PLUMB_CONFORMANCE_PROGRAMS"

// TestMain builds, once, plumb's programs, and the CNI project's own plugins that
// they are compared with or put to work.
func TestMain(m *testing.M) {
	if os.Getenv(programs) != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "plumb-conformance-")
	if err == nil {
		err = build(dir)
	}
	if err == nil {
		err = os.Setenv(programs, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func build(dir string) error {
	for _, b := range []struct {
		in   string
		args []string
	}{
		{".", []string{"../../cmd/plumb", "../../cmd/plumb-cni"}},
		// A module of its own: its plugins have their own versions of libraries.
		{"testdata/peers", []string{"tool"}},
	} {
		cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", dir + "/"}, b.args...)...)
		cmd.Dir = b.in
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %v: %w\n%s", b.args, err, out)
		}
	}
	return nil
}

func program(name string) string { return filepath.Join(os.Getenv(programs), name) }
