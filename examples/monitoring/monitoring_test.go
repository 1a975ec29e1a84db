// Package monitoring tests the alert rules and the dashboard of this folder against
// what a real agent exports.
package monitoring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// built is the environment variable with the folder of the built programs, which a
// test's child in its namespace inherits.
const built = "PLUMB_MONITORING_BUILT"

const repository = "../.."

func TestMain(m *testing.M) {
	if os.Getenv(built) != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "plumb-monitoring-")
	if err == nil {
		err = errors.Join(build(dir, repository, "./cmd/plumb"), build(dir, repository+"/examples/testdata/check", "./promql"), os.Setenv(built, dir))
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func build(to, in, what string) error {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", to+"/", what)
	cmd.Dir = in
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", what, err, text)
	}
	return nil
}

func program(name string) string { return filepath.Join(os.Getenv(built), name) }

// noteSources reads the repository's folders: go test does not see what the programs
// are built from, and would give the cached result of before a change of theirs.
func noteSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(repository, func(_ string, d fs.DirEntry, err error) error {
		switch {
		case d != nil && d.IsDir() && (d.Name() == "bin" || d.Name() == ".git"):
			return fs.SkipDir
		case errors.Is(err, fs.ErrNotExist): // what other tests make comes and goes
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ruleFile is what Prometheus takes for a file of alert rules
// (https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/).
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

const rulesFile, dashboardFile = "plumb.rules.yaml", "grafana-dashboard.json"

func rules(t *testing.T) ruleFile {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var f ruleFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRules(t *testing.T) {
	duration := regexp.MustCompile(`^\d+[smh]$`)
	severities := []string{"critical", "warning", "info"}
	seen := map[string]bool{}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if !strings.HasPrefix(r.Alert, "Plumb") || seen[r.Alert] || !duration.MatchString(r.For) ||
				!slices.Contains(severities, r.Labels["severity"]) || r.Annotations["summary"] == "" {
				t.Errorf("the alert %+v", r)
			}
			seen[r.Alert] = true
		}
	}
	if len(seen) == 0 {
		t.Error("there are no alerts")
	}
}

// Each alert has a test that it comes: with promtool or without, none is forgotten.
func TestEveryAlertHasATest(t *testing.T) {
	text, err := os.ReadFile(rulesTests)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Tests []struct {
			Alerts []struct {
				Name string      `yaml:"alertname"`
				Come []yaml.Node `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, test := range f.Tests {
		for _, a := range test.Alerts {
			tested[a.Name] = tested[a.Name] || len(a.Come) > 0
		}
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if !tested[r.Alert] {
				t.Errorf("no test in %s has %s come", rulesTests, r.Alert)
			}
		}
	}
}

// dashboard is the part of Grafana's model that the tests look at.
type dashboard struct {
	Panels []struct {
		ID          int
		Title, Type string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboard(t *testing.T) {
	places, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range readDashboard(t).Panels {
		if p.Title == "" || p.Type == "" || ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("the panel %+v", p)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := places[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %q, or outside", p.Title, other)
				}
				places[[2]int{x, y}] = p.Title
			}
		}
	}
}

// expressions are all PromQL of the rules and the dashboard, a line each.
func expressions(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			lines = append(lines, r.Expr)
		}
	}
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			// Grafana's variables, as they are when a query is sent.
			lines = append(lines, strings.NewReplacer("$__rate_interval", "1m", "$instance", "node1|node2").Replace(target.Expr))
		}
	}
	label := regexp.MustCompile(`^label_values\((.*), \w+\)$`)
	for _, v := range d.Templating.List {
		if m := label.FindStringSubmatch(v.Definition); m != nil {
			lines = append(lines, m[1])
		}
	}
	for _, l := range lines {
		if strings.Contains(l, "$") || strings.Contains(l, "\n") {
			t.Errorf("what is sent to Prometheus is not known: %s", l)
		}
	}
	return strings.Join(lines, "\n")
}

// metricsOf gives the names of metrics that expressions select.
func metricsOf(t *testing.T, expressions string) []string {
	t.Helper()
	cmd := exec.Command(program("promql"))
	cmd.Stdin = strings.NewReader(expressions)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	return strings.Fields(string(out))
}
