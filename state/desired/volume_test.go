package desired

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/plumbnet/plumb/state/desired/volumetest"
)

// names gives each source's name within dir, with its text.
func names(dir string, sources []Source) string {
	var out []string
	for _, s := range sources {
		out = append(out, strings.TrimPrefix(s.Name, dir+"/")+"="+string(s.Data))
	}
	return strings.Join(out, " ")
}

// As Kubernetes mounts a ConfigMap: what is visible links into ..data, which
// links into a directory that is replaced as a whole.
func TestReadConfigMap(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/..2026_01_01/plumb.yaml", "apiVersion: plumb/v1")
	link(t, "..2026_01_01", dir+"/..data")
	link(t, "..data/plumb.yaml", dir+"/plumb.yaml")
	sources, err := Read(dir)
	if err != nil || len(sources) != 1 || sources[0].Name != dir+"/plumb.yaml" {
		t.Fatalf("got %+v, %v", sources, err)
	}
	if f, problems := Parse(sources); f == nil {
		t.Error(problems)
	}
}

// The kubelet swaps ..data before it links what is new and unlinks what is gone: after
// each of its steps a reader has the whole of one version.
func TestReadConfigMapAtEachStep(t *testing.T) {
	dir := t.TempDir()
	v := volumetest.Volume{T: t, Dir: dir}
	v.Write(map[string]string{"20-a.yaml": "a1", "30-gone.yaml": "gone"})
	const before, after = "20-a.yaml=a1 30-gone.yaml=gone", "10-new.yaml=new 20-a.yaml=a2"
	seen := []string{}
	v.Between = func() {
		sources, err := Read(dir)
		if got := names(dir, sources); err != nil || len(seen) == 0 || seen[len(seen)-1] != got {
			seen = append(seen, got)
		}
	}
	v.Between()
	v.Write(map[string]string{"20-a.yaml": "a2", "10-new.yaml": "new", "notes.txt": "no part"})
	if want := []string{before, after}; !slices.Equal(seen, want) {
		t.Errorf("read were %q, want %q", seen, want)
	}

	// What somebody put beside the volume's parts is read as in any directory.
	write(t, dir+"/15-own.yaml", "own")
	link(t, dir+"/15-own.yaml", dir+"/16-link.yaml")
	sources, err := Read(dir)
	if got, want := names(dir, sources), "10-new.yaml=new 15-own.yaml=own 16-link.yaml=own 20-a.yaml=a2"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// Readers see one version or the next, whole, while versions come and their folders go.
func TestReadConfigMapWhileItChanges(t *testing.T) {
	v := volumetest.Volume{T: t, Dir: t.TempDir()}
	versions := []map[string]string{{"30-nodes.yaml": "all"}, {"30-nodes.yaml": "half", "31-nodes.yaml": "other half"}}
	v.Write(versions[0])
	var done atomic.Bool
	var reader sync.WaitGroup
	seen := map[string]bool{}
	reader.Go(func() {
		for !done.Load() {
			sources, err := Read(v.Dir)
			if err != nil {
				t.Error(err)
			}
			seen[names(v.Dir, sources)] = true
		}
	})
	for i := range 500 {
		v.Write(versions[(i+1)%2])
	}
	done.Store(true)
	reader.Wait()
	delete(seen, "30-nodes.yaml=all")
	delete(seen, "30-nodes.yaml=half 31-nodes.yaml=other half")
	if len(seen) > 0 {
		t.Errorf("parts of a version were read: %v", seen)
	}
}

// Errors name the part that the user knows, not the folder that is its version.
func TestReadConfigMapErrors(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(dir string)
		want    string
	}{
		"large":  {func(dir string) { write(t, dir+"/..v1/a.yaml", strings.Repeat("#", maxFileSize+1)) }, "/a.yaml: the file is larger than 16 MiB"},
		"broken": {func(dir string) { write(t, dir+"/..v1/b.yaml", ""); link(t, "nowhere", dir+"/..v1/a.yaml") }, "/a.yaml: no such file"},
		"empty":  {func(dir string) { write(t, dir+"/..v1/notes.txt", "") }, ": the directory has no *.yaml file"},
		"none":   {func(string) {}, "/..data: no such file"},
	} {
		dir := t.TempDir()
		c.prepare(dir)
		link(t, "..v1", dir+"/..data")
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), dir+c.want) || strings.Contains(err.Error(), "..v1") {
			t.Errorf("%s: got the error %v, want %q", name, err, dir+c.want)
		}
	}
}
