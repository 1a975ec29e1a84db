package nstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
	marker := filepath.Join(os.TempDir(), "plumb-nstest-marker")
	t.Cleanup(func() { os.Remove(marker) })
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
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if line, _ := os.ReadFile(p); strings.Contains(string(line), marker) {
			t.Errorf("%s still runs: %q", p, line)
		}
	}
}
