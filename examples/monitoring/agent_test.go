package monitoring

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

const stateFile = `apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16, natOutgoing: true}]
nodes:
  - {name: worker1, addresses: [192.0.2.1/24], podCIDRs: [10.244.1.0/24, 10.244.2.0/24]}
bgp:
  asn: 64512
  peers: [{name: tor, address: 192.0.2.9, asn: 64496}]
`

// exported are the metrics of an agent that has seen trouble: their names, and the
// whole text.
func exported(t *testing.T) (names []string, text string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "plumb.yaml")
	if err := os.WriteFile(file, []byte(stateFile), 0o600); err != nil {
		t.Fatal(err)
	}
	nstest.Sh(t, "ip route add unreachable 10.244.2.0/24 proto 99") // another's, in the place of a wanted one
	cmd := exec.Command(program("plumb"), "agent", "--file", file, "--node", "worker1",
		"--state-dir", dir+"/state", "--socket", dir+"/plumb.sock", "--http", "127.0.0.1:9178")
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		log.Close()
	})
	await := func(lines ...string) {
		t.Helper()
		lacks := func(line string) bool { return !strings.Contains(text, line) }
		for end := time.Now().Add(30 * time.Second); slices.ContainsFunc(lines, lacks); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				said, _ := os.ReadFile(dir + "/log")
				t.Fatalf("not %q in:\n%s\n%s", lines, text, said)
			}
			text = get("http://127.0.0.1:9178/metrics")
		}
	}
	await("plumb_conflicts 1")
	nstest.Sh(t, "ip route del blackhole 10.244.1.0/24")
	await(`plumb_changes_total{action="add",cause="drift",kind="route"} 1`)
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Where the loop is busy for a second, a scrape has no gauges: wanted is one with all.
	await("plumb_file_errors 1", "plumb_conflicts 1")
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+)[ {]`).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names), text
}

func get(url string) string {
	r, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Rules and dashboard ask for nothing that the agent does not export.
func TestTheAgentExportsWhatIsAskedFor(t *testing.T) {
	noteSources(t)
	nstest.Run(t, func(t *testing.T) {
		names, _ := exported(t)
		for _, asked := range metricsOf(t, expressions(t)) {
			if asked != "up" && !slices.Contains(names, asked) { // Prometheus' own
				t.Errorf("the agent exports no %s, but\n%s", asked, strings.Join(names, "\n"))
			}
		}
	})
}

// docs/operations.md has every metric of plumb's own, with its labels, and no other.
func TestEveryMetricIsDocumented(t *testing.T) {
	noteSources(t)
	nstest.Run(t, func(t *testing.T) {
		_, text := exported(t)
		labels := map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (plumb_\w+)`).FindAllStringSubmatch(text, -1) {
			labels[m[1]] = ""
		}
		for _, m := range regexp.MustCompile(`(?m)^(plumb_\w+)\{(.*)\}`).FindAllStringSubmatch(text, -1) {
			if _, ok := labels[m[1]]; ok { // not the parts of a histogram
				labels[m[1]] = regexp.MustCompile(`="[^"]*"`).ReplaceAllString(m[2], "")
			}
		}
		doc, err := os.ReadFile(filepath.Join(repository, "docs/operations.md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?m)^\\| `(plumb_\\w+)` \\|([^|]*)\\|").FindAllStringSubmatch(string(doc), -1) {
			name := m[1]
			documented := strings.Trim(strings.ReplaceAll(strings.ReplaceAll(m[2], "`", ""), ", ", ","), " ")
			real, ok := labels[name]
			if !ok || real != documented {
				t.Errorf("%s is documented with the labels %q, and has %q (%v)", name, documented, real, ok)
			}
			delete(labels, name)
		}
		for name, of := range labels {
			t.Errorf("%s{%s} is not in docs/operations.md", name, of)
		}
	})
}
