package runtimes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// folder is the environment variable that names the folder of these tests' files,
// for their children in namespaces. What the runtimes leave in the machine's own
// places is named after it.
const folder = "PLUMB_RUNTIMES_TEST"

// TestMain builds, once, plumb's programs, the plugins that the conflist calls
// besides plumb's, and what runs in the containers.
func TestMain(m *testing.M) {
	if inNamespace {
		os.Exit(m.Run())
	}
	// Not t.TempDir: the name of a unix socket has 107 bytes at most.
	dir, err := os.MkdirTemp("", "plumb-runtimes-")
	if err == nil {
		err = build(filepath.Join(dir, "bin"))
	}
	if err == nil {
		err = os.Setenv(folder, dir)
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

// inNamespace says that this process is the child of a test, in its namespaces.
var inNamespace = os.Getenv(folder) != ""

func build(dir string) error {
	for _, b := range []struct {
		in   string
		args []string
	}{
		{".", []string{"../../cmd/plumb", "../../cmd/plumb-cni", "./echo"}},
		// A module of its own: its plugins have their own versions of libraries.
		{"testdata/plugins", []string{"tool"}},
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

// program is the path of a built program.
func program(name string) string { return filepath.Join(os.Getenv(folder), "bin", name) }
