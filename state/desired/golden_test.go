package desired

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expected problems in testdata")

// Each archive in testdata is a directory of state files; its part named
// "problems" is what Parse says of them, a line each.
func TestProblems(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sources, want := split(a)
			f, problems := Parse(sources)
			var got bytes.Buffer
			valid := true
			for _, p := range problems {
				got.WriteString(p.String() + "\n")
				valid = valid && p.Warning
			}
			if (f != nil) != valid {
				t.Errorf("file %v with problems:\n%s", f, &got)
			}
			if *update {
				a.Files = append(a.Files[:len(sources)], txtar.File{Name: "problems", Data: got.Bytes()})
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != want {
				t.Errorf("got:\n%s\nwant:\n%s", &got, want)
			}
		})
	}
}

// split gives the state files of an archive and the expected problems, which
// come last.
func split(a *txtar.Archive) (sources []Source, problems string) {
	for _, f := range a.Files {
		if f.Name == "problems" {
			return sources, string(f.Data)
		}
		sources = append(sources, Source{Name: f.Name, Data: f.Data})
	}
	return sources, "none are written down yet: run the test with -update"
}
