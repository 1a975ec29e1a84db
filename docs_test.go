package plumb_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state/desired"
)

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	mdLink    = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
)

// The state file in the README is one that plumb takes.
func TestReadmeStateFile(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("README.md shows no state file")
	}
	for _, b := range blocks {
		file := filepath.Join(t.TempDir(), "README.yaml")
		if err := os.WriteFile(file, b[1], 0o600); err != nil {
			t.Fatal(err)
		}
		_, problems, err := desired.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Error(p)
		}
	}
}

// docs/state-file.md has a row with a type, a default and a meaning for each field of
// the schema, in its order, and for no other.
func TestStateFileReference(t *testing.T) {
	text, err := os.ReadFile("docs/state-file.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\| (.+) \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1])
	}
	if fields := desired.Fields(); !slices.Equal(documented, fields) {
		t.Errorf("documented are\n%s\n\nthe schema has\n%s", strings.Join(documented, "\n"), strings.Join(fields, "\n"))
	}
}

// Links from one document to another file of the repository lead somewhere.
func TestDocumentLinks(t *testing.T) {
	docs, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range append(docs, more...) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mdLink.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s: %v", doc, err)
			}
		}
	}
}
