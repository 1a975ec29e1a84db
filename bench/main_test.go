// Package bench measures plumb beside ip(8) and nft(8): on the same objects, in
// the same run, in a network namespace of its own. What counts is the ratio;
// times are this machine's.
package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

const inside = "PLUMB_BENCH"

// TestMain moves the whole process into a namespace, and prints the table when
// all is measured.
func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(runInside())
	}
	code := m.Run()
	results.print()
	os.Exit(code)
}

func runInside() int {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = nstest.Isolated()
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// table gathers the rows that people read.
type table struct {
	mu   sync.Mutex
	rows []row
}

type row struct {
	what, peer string
	ours       time.Duration
	theirs     time.Duration // 0: there is no peer
	aim        string
	megabytes  bool // in place of times
}

func (r row) text(v time.Duration) string {
	if r.megabytes {
		return fmt.Sprintf("%d MB", int64(v))
	}
	return fmt.Sprint(round(v))
}

var results table

func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.rows, func(o row) bool { return o.what == r.what && o.peer == r.peer })
	if i >= 0 {
		t.rows[i] = r // the benchmark ran again, for longer
		return
	}
	t.rows = append(t.rows, r)
}

func (t *table) print() {
	if len(t.rows) == 0 {
		return
	}
	fmt.Println("\n| what | plumb | beside it | ratio | aim |")
	fmt.Println("| --- | ---: | ---: | ---: | --- |")
	for _, r := range t.rows {
		ratio, theirs := "", r.peer
		if r.theirs > 0 {
			ratio = fmt.Sprintf("%.2f", float64(r.ours)/float64(r.theirs))
			theirs = fmt.Sprintf("%s (%s)", r.text(r.theirs), r.peer)
		}
		fmt.Printf("| %s | %s | %s | %s | %s |\n", r.what, r.text(r.ours), theirs, ratio, r.aim)
	}
}

func round(d time.Duration) time.Duration {
	switch {
	case d > 100*time.Millisecond:
		return d.Round(time.Millisecond)
	case d > time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(100 * time.Nanosecond)
}

// rounds is how often each pair is measured; the median counts.
const rounds = 5

// compare measures ours and theirs in turn, so that a machine whose speed drifts
// is fair to both, and reports the medians. theirs may be nil.
func compare(b *testing.B, r row, ours, theirs func() time.Duration) {
	b.Helper()
	for b.Loop() {
		var a, c []time.Duration
		for range rounds {
			a = append(a, ours())
			if theirs != nil {
				c = append(c, theirs())
			}
		}
		r.ours = median(a)
		b.ReportMetric(float64(r.ours.Microseconds()), "µs/plumb")
		if theirs != nil {
			r.theirs = median(c)
			b.ReportMetric(float64(r.theirs.Microseconds()), "µs/peer")
			b.ReportMetric(float64(r.ours)/float64(r.theirs), "ratio")
		}
	}
	b.ReportMetric(0, "ns/op") // the loop's own time says nothing
	results.add(r)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// sh runs a command of the shell.
func sh(b *testing.B, format string, args ...any) string {
	b.Helper()
	out, err := exec.Command("sh", "-c", fmt.Sprintf(format, args...)).CombinedOutput()
	if err != nil {
		b.Fatalf(format+": %v\n%s", append(args, err, out)...)
	}
	return string(out)
}

// file writes text to a file of the benchmark's own.
func file(b *testing.B, name, text string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	return path
}
