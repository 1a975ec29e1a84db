package monitoring

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"gopkg.in/yaml.v3"
)

const configFile, rulesTests = "prometheus.yaml", "plumb.rules.test.yaml"

// Where promtool is at hand it has the word on rules, on their tests, and on the
// configuration; TestRules and what asks the agent read them in any case.
func TestWithPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Logf("%v: %s and %s are parsed alone", err, rulesFile, configFile)
		return
	}
	run := func(args ...string) (string, bool) {
		out, err := exec.Command(promtool, args...).CombinedOutput()
		return string(out), err == nil
	}
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", rulesTests}} {
		if out, ok := run(args...); !ok {
			t.Errorf("promtool %v: %s", args, out)
		}
	}
	if out, ok := run("check", "config", configFile); ok {
		return
	} else if !regexp.MustCompile(`kubernetes_sd_configs not found`).MatchString(out) {
		t.Fatal(out)
	}
	// Debian builds it without what finds pods: the rest is checked.
	text, err := os.ReadFile(configFile)
	if err != nil {
		t.Fatal(err)
	}
	sd := regexp.MustCompile(`(?m)^    kubernetes_sd_configs:\n(?:      .*\n)+`)
	text = sd.ReplaceAll(bytes.ReplaceAll(text, []byte("- "+rulesFile), []byte("- "+absolute(t, rulesFile))), []byte("    static_configs: [{targets: [x]}]\n"))
	path := filepath.Join(t.TempDir(), configFile)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, ok := run("check", "config", path); !ok {
		t.Error(out)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// The address that is scraped has a port, whichever family it is of: relabelling is done
// here as Prometheus does it, with a regular expression for the whole value.
func TestScrapedAddresses(t *testing.T) {
	text, err := os.ReadFile(configFile)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		ScrapeConfigs []struct {
			RelabelConfigs []struct {
				SourceLabels []string `yaml:"source_labels"`
				Regex        string
				TargetLabel  string `yaml:"target_label"`
				Replacement  string
			} `yaml:"relabel_configs"`
		} `yaml:"scrape_configs"`
		RuleFiles []string `yaml:"rule_files"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.RuleFiles, []string{rulesFile}) {
		t.Errorf("the rules are %v", config.RuleFiles)
	}
	for ip, want := range map[string]string{"172.18.0.3": "172.18.0.3:9178", "fd00::3": "[fd00::3]:9178"} {
		got := ""
		for _, c := range config.ScrapeConfigs[0].RelabelConfigs {
			if whole := regexp.MustCompile("^(?:" + c.Regex + ")$"); c.TargetLabel == "__address__" && whole.MatchString(ip) {
				got = whole.ReplaceAllString(ip, regexp.MustCompile(`\$(\d)`).ReplaceAllString(c.Replacement, `$${$1}`))
			}
		}
		if got != want {
			t.Errorf("an agent at %s is scraped at %q, want %q", ip, got, want)
		}
	}
}
