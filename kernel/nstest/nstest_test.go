package nstest

import (
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
