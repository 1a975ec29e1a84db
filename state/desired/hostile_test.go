package desired

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/rogpeppe/go-internal/txtar"
)

// Aliases of aliases: each level multiplies by a hundred what is below.
func TestAliasBomb(t *testing.T) {
	hundred := func(s string) string { return "[" + strings.Repeat(s+",", 99) + s + "]" }
	bomb := "apiVersion: plumb/v1\nbgp:\n  asn: 1\n  filters:\n" +
		"  - &f {name: f, rules: [&r {match: {communities: &c " + hundred(`"1:1"`) + "}}," + strings.Repeat("*r,", 99) + "*r]}\n" +
		strings.Repeat("  - *f\n", 99)
	f, problems := Parse([]Source{{"plumb.yaml", []byte(bomb)}})
	if f != nil || len(problems) != 1 {
		t.Fatalf("got %d problems, the first: %v", len(problems), problems[:min(len(problems), 1)])
	}
	want := "the aliases (*name) expand to more than 1000000 values; write the values out"
	if problems[0].Message != want || problems[0].Pos.Line < 6 {
		t.Errorf("got %s, want %s", problems[0], want)
	}
}

// Lists in lists are as bad a bomb, where the schema does not stop at the first.
func TestAliasBombOfLists(t *testing.T) {
	text := "apiVersion: plumb/v1\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 20; i++ {
		text += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), i-1)
	}
	text += "nodes: *a19\ncluster: *a19\n"
	f, problems := Parse([]Source{{"plumb.yaml", []byte(text)}})
	if f != nil || len(problems) != 20+10+1 { // the unknown fields, the elements, the cluster
		t.Errorf("got %d problems: %v", len(problems), problems)
	}
}

// Nesting deeper than the YAML library can follow is an error like others.
func TestDeepNesting(t *testing.T) {
	for _, open := range []string{"[", "{", "- ", "? "} {
		f, problems := Parse([]Source{{"plumb.yaml", []byte(strings.Repeat(open, 20_000))}})
		if f != nil || len(problems) == 0 {
			t.Errorf("20000 times %q is accepted", open)
		}
	}
}

// What Parse gives for any input at all: no panic, a file exactly when there is
// no error, and problems that have a place, sorted.
func check(t *testing.T, sources []Source) {
	f, problems := Parse(sources)
	valid := true
	// YAML has more line breaks than these, and counts them all.
	lines := math.MaxInt
	if !bytes.ContainsFunc(sources[0].Data, func(r rune) bool { return r == '\r' || r > unicode.MaxASCII }) {
		lines = bytes.Count(sources[0].Data, []byte("\n")) + 1
	}
	for i, p := range problems {
		valid = valid && p.Warning
		if p.Pos.Line < 1 || p.Pos.Column < 1 || p.Pos.File == "" || p.Message == "" {
			t.Errorf("a problem without its place: %+v", p)
		}
		if i > 0 && comparePos(problems[i-1].Pos, p.Pos) > 0 {
			t.Errorf("not sorted: %v after %v", p, problems[i-1])
		}
		if strings.ContainsAny(p.String(), "\n\r\x1b") {
			t.Errorf("a problem of several lines: %q", p)
		}
		if p.Pos.File == "a.yaml" && p.Pos.Line > lines {
			t.Errorf("line %d of %d: %s", p.Pos.Line, lines, p)
		}
	}
	if (f != nil) != valid {
		t.Errorf("a file: %v; problems: %v", f != nil, problems)
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../../examples/*.yaml", "../../examples/*/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatal("no examples", err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, []byte(nil))
		}
	}
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		sources, _ := split(a)
		for _, src := range sources {
			f.Add(src.Data, sources[0].Data)
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		check(t, []Source{{"a.yaml", a}})
		check(t, []Source{{"a.yaml", a}, {"b.yaml", b}})
	})
}
