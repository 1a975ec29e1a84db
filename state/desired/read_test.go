package desired

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestReadDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/20-nodes.yaml", "nodes: []")
	write(t, dir+"/10-pools.yaml", "pools: []")
	write(t, dir+"/.hidden.yaml", "hidden: 1")
	write(t, dir+"/notes.txt", "not YAML: [")
	write(t, dir+"/old.yaml~", "old: 1")
	write(t, dir+"/sub.yaml/inner.yaml", "inner: 1")
	sources, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Source{
		{dir + "/10-pools.yaml", []byte("pools: []")},
		{dir + "/20-nodes.yaml", []byte("nodes: []")},
	}
	if len(sources) != len(want) {
		t.Fatalf("got %d sources, want %d: %+v", len(sources), len(want), sources)
	}
	for i := range want {
		if sources[i].Name != want[i].Name || !bytes.Equal(sources[i].Data, want[i].Data) {
			t.Errorf("source %d is %s, want %s", i, sources[i].Name, want[i].Name)
		}
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/none/plumb.yml", "")
	write(t, dir+"/broken/b.yaml", "")
	link(t, "nowhere", dir+"/broken/a.yaml")
	write(t, dir+"/large.yaml", strings.Repeat("#", 16<<20+1))
	write(t, dir+"/dir/large.yaml", strings.Repeat("#", 16<<20+1))
	for path, want := range map[string]string{
		"none":         dir + "/none: the directory has no *.yaml file",
		"missing.yaml": dir + "/missing.yaml: no such file",
		"broken":       dir + "/broken/a.yaml: no such file",
		"large.yaml":   dir + "/large.yaml: the file is larger than 16 MiB",
		"dir":          dir + "/dir/large.yaml: the file is larger than 16 MiB",
	} {
		f, problems, err := Load(filepath.Join(dir, path))
		if err == nil || !strings.Contains(err.Error(), want) || f != nil || problems != nil {
			t.Errorf("%s: got the error %v, want %q", path, err, want)
		}
	}
}

func TestReadLargestFile(t *testing.T) {
	path := t.TempDir() + "/plumb.yaml"
	write(t, path, strings.Repeat("#", 16<<20))
	sources, err := Read(path)
	if err != nil || len(sources[0].Data) != 16<<20 {
		t.Errorf("a file of just 16 MiB: %v", err)
	}
}

// The positions name the file as the user did, and origins by its base alone.
func TestPositions(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/plumb.yaml", "apiVersion: plumb/v1\npools:\n  - cidr: 10.244.0.0/16\nnodes:\n  - name: w1\n")
	write(t, dir+"/bad.yaml", "apiVersion: plumb/v1\nnode: []\n")
	f, problems, err := Load(dir + "/plumb.yaml")
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	if got := f.Nodes[0].Pos.String(); got != "plumb.yaml:5" {
		t.Errorf("origin %s", got)
	}
	if got, want := f.Nodes[0].Pos, (Pos{dir + "/plumb.yaml", 5, 5}); got != want {
		t.Errorf("position %+v, want %+v", got, want)
	}
	_, problems, err = Load(dir + "/bad.yaml")
	if err != nil || len(problems) != 1 {
		t.Fatal(problems, err)
	}
	if got, want := problems[0].String(), dir+`/bad.yaml:2:1: unknown field "node"; did you mean "nodes"?`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHash(t *testing.T) {
	a := []Source{{"/etc/plumb/a.yaml", []byte("x")}, {"/etc/plumb/b.yaml", []byte("y")}}
	same := []Source{{"elsewhere/a.yaml", []byte("x")}, {"b.yaml", []byte("y")}}
	if Hash(a) != Hash(same) {
		t.Error("the directory changes the hash")
	}
	if len(Hash(a)) != 64 || strings.Trim(Hash(a), "0123456789abcdef") != "" {
		t.Errorf("%s is not 64 hexadecimal digits", Hash(a))
	}
	seen := map[string]int{Hash(a): -1}
	for i, other := range [][]Source{
		nil,
		{{"a.yaml", []byte("x")}},
		{{"a.yaml", []byte("x")}, {"b.yaml", []byte("z")}},
		{{"a.yaml", []byte("xb.yaml")}, {"", []byte("y")}},
		{{"b.yaml", []byte("y")}, {"a.yaml", []byte("x")}},
	} {
		if j, ok := seen[Hash(other)]; ok {
			t.Errorf("sources %d and %d have the same hash", i, j)
		}
		seen[Hash(other)] = i
	}
}

// An agent's copy is read as what it was made of, by every verb that takes a file.
func TestReadKept(t *testing.T) {
	path := t.TempDir() + "/" + KeptName
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a copy: %v", err)
	}
	was := []Source{
		{"/etc/plumb/10-a.yaml", []byte("apiVersion: plumb/v1\n")},
		{"/etc/plumb/20-b.yaml", []byte("\nnodes: [{name: w1, podCIDRs: [10.0.0.0/24]}]\n")},
	}
	b, err := json.Marshal(was)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(b))
	sources, err := Read(path)
	if err != nil || Hash(sources) != Hash(was) {
		t.Errorf("got %v, %v", sources, err)
	}
	_, problems, err := Load(path)
	if err != nil || len(problems) == 0 || !strings.HasPrefix(problems[0].String(), "/etc/plumb/20-b.yaml:2:") {
		t.Errorf("the places are %v, %v", problems, err)
	}
	write(t, path, "apiVersion: plumb/v1\n")
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("what is no copy: %v", err)
	}
}
