package nstest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRunIsAlone(t *testing.T) {
	Run(t, func(t *testing.T) {
		links := Sh(t, "ip -br link")
		if !strings.HasPrefix(links, "lo ") || strings.Contains(links, "\n") {
			t.Fatalf("a fresh namespace has more than lo:\n%s", links)
		}
	})
}

func TestRunLeavesNothingRunning(t *testing.T) {
	const env = "PLUMB_NSTEST_MARKER" // the same inside; and no other test's that runs now
	marker := os.Getenv(env)
	if marker == "" {
		marker = filepath.Join(t.TempDir(), "marker")
		t.Setenv(env, marker)
	}
	Run(t, func(t *testing.T) {
		if err := os.WriteFile(marker, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := exec.Command("tail", "-f", marker).Start(); err != nil {
			t.Fatal(err)
		}
	})
	if os.Getenv(inside) != "" {
		return
	}
	// What is killed may take a while to be gone.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := running(t, marker)
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("still running: " + left)
		}
	}
}

// running tells the processes that have the marker among their arguments.
func running(t *testing.T, marker string) string {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, p := range processes {
		if line, _ := os.ReadFile(p); strings.Contains(string(line), marker) {
			fmt.Fprintf(&out, "%s: %q\n", p, line)
		}
	}
	return out.String()
}
