package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// host is one in a directory of the test's, and what is to be installed on it.
func host(t *testing.T) (Host, Source) {
	t.Helper()
	dir := t.TempDir()
	return Host{BinDir: filepath.Join(dir, "bin"), ConfDir: filepath.Join(dir, "net.d"), ConfName: DefaultConfName},
		source(t, "one")
}

// source has a plugin that is a program, and not the same for each version.
func source(t *testing.T, version string) Source {
	t.Helper()
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	s := Source{Plugin: filepath.Join(t.TempDir(), "built"), Name: "the conflist"}
	if err := os.WriteFile(s.Plugin, append(program, version...), 0o700); err != nil { // what is behind an ELF file's end is ignored
		t.Fatal(err)
	}
	if s.Conflist, err = (Conf{File: "/" + version}).Conflist(); err != nil {
		t.Fatal(err)
	}
	return s
}

// steps are a report's lines, with the directories left out.
func steps(r Report) string {
	var out []string
	for _, s := range r.Steps {
		out = append(out, string(s.Did)+" "+filepath.Base(s.Path))
	}
	return strings.Join(out, ", ")
}

func install(t *testing.T, h Host, s Source, want string) Report {
	t.Helper()
	r, err := Install(t.Context(), h, s)
	if err != nil {
		t.Fatal(err)
	}
	if steps(r) != want {
		t.Fatalf("it did: %s\nwant:   %s", steps(r), want)
	}
	h.has(t, s)
	return r
}

// has checks that the host is as it was to be, without anything besides.
func (h Host) has(t *testing.T, s Source) {
	t.Helper()
	program, err := os.ReadFile(s.Plugin)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]byte{h.plugin(): program, h.conflist(): s.Conflist} {
		if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
			t.Errorf("%s has another content (%v)", path, err)
		}
	}
	h.modes(t, "-rwxr-xr-x plumb-cni", "-rw-r--r-- "+h.ConfName)
}

// modes checks what files there are in both directories.
func (h Host) modes(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, dir := range []string{h.BinDir, h.ConfDir} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, info.Mode().String()+" "+e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// A host's life: each time only what differs is written.
func TestInstall(t *testing.T) {
	h, one := host(t)
	install(t, h, one, "made bin, made net.d, installed plumb-cni, installed 10-plumb.conflist")

	before := h.inodes(t)
	install(t, h, one, "unchanged plumb-cni, unchanged 10-plumb.conflist")
	if after := h.inodes(t); after != before {
		t.Errorf("nothing differed, and the files are others: %s, then %s", before, after)
	}

	two := source(t, "two")
	install(t, h, two, "updated plumb-cni, updated 10-plumb.conflist")
	two.Conflist = one.Conflist
	install(t, h, two, "unchanged plumb-cni, updated 10-plumb.conflist")

	for path, mode := range map[string]fs.FileMode{h.plugin(): 0o644, h.conflist(): 0o600} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	install(t, h, two, "updated plumb-cni, updated 10-plumb.conflist")

	// The plugin that is installed can be the one that is there.
	there := two
	there.Plugin = h.plugin()
	install(t, h, there, "unchanged plumb-cni, unchanged 10-plumb.conflist")
}

func (h Host) inodes(t *testing.T) string {
	t.Helper()
	var out []string
	for _, path := range []string{h.plugin(), h.conflist()} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(info.Sys()))
	}
	return strings.Join(out, " ")
}

// What cannot be right is refused before anything is written.
func TestNothingIsWrittenOfWhatIsWrong(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Host, *Source)
		want   string
	}{
		{"bad conflist", func(_ *Host, s *Source) { s.Conflist = []byte("{") }, "the conflist: line 1, column 1: unexpected end"},
		{"conflist of another", func(_ *Host, s *Source) { s.Conflist = []byte(`{"plugins":[{"type":"x"}]}`) }, `the conflist: has no plugin of "type": "plumb-cni"`},
		{"no plugin", func(_ *Host, s *Source) { s.Plugin = "/nowhere/plumb-cni" }, "/nowhere/plumb-cni: there is no such file"},
		{"plugin that is a directory", func(_ *Host, s *Source) { s.Plugin = "/" }, "/: is not an executable file"},
		{"plugin that is no program", func(_ *Host, s *Source) { s.Plugin = shipped }, "10-plumb.conflist: is not an executable file"},
		{"empty plugin", func(_ *Host, s *Source) { s.Plugin = empty }, "empty: is not an executable file"},
		{"name that no runtime reads", func(h *Host, _ *Source) { h.ConfName = "10-plumb.conf" }, `conflist name "10-plumb.conf": give the name of a file that ends in .conflist`},
		{"name that leads elsewhere", func(h *Host, _ *Source) { h.ConfName = "../x.conflist" }, `conflist name "../x.conflist"`},
		{"name that is none", func(h *Host, _ *Source) { h.ConfName = "" }, `conflist name ""`},
		{"no directory", func(h *Host, _ *Source) { h.ConfDir = "" }, "is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, s := host(t)
			dir := filepath.Dir(h.BinDir)
			c.change(&h, &s)
			r, err := Install(t.Context(), h, s)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one error that says: %s", err, c.want)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 || len(r.Steps) > 0 {
				t.Errorf("it did %s, and %v is there (%v)", steps(r), entries, err)
			}
		})
	}
}

// What stands where a file is to be: a link is replaced, and not followed; a
// directory is somebody's.
func TestWhatStandsInTheWay(t *testing.T) {
	h, s := host(t)
	elsewhere := t.TempDir()
	if err := errors.Join(os.Mkdir(h.BinDir, 0o755), os.Symlink(elsewhere, h.ConfDir)); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(elsewhere, "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(precious, h.plugin()), os.Symlink(filepath.Join(elsewhere, "absent"), h.conflist())); err != nil {
		t.Fatal(err)
	}
	r, err := Install(t.Context(), h, s) // a directory that is a link to one is one
	if want := "updated plumb-cni, updated 10-plumb.conflist"; err != nil || steps(r) != want {
		t.Errorf("it did: %s (%v)", steps(r), err)
	}
	if err := os.Remove(precious); err != nil {
		t.Fatal("what the link led to was taken away:", err)
	}
	h.has(t, s)

	if err := errors.Join(os.Remove(h.plugin()), os.Mkdir(h.plugin(), 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), h, s); err == nil || !strings.Contains(err.Error(), "plumb-cni: is a directory") {
		t.Errorf("a directory in the plugin's place: %v", err)
	}
	file := filepath.Join(elsewhere, DefaultConfName)
	if _, err := Install(t.Context(), Host{BinDir: file, ConfDir: h.ConfDir, ConfName: DefaultConfName}, s); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("a file in the directory's place: %v", err)
	}
}

// What an installer left that was killed goes; what only looks like it stays.
func TestLeftoversAreSwept(t *testing.T) {
	h, s := host(t)
	install(t, h, s, "made bin, made net.d, installed plumb-cni, installed 10-plumb.conflist")
	for _, name := range []string{".plumb-cni.123", ".plumb-cni.save", ".other.123"} {
		if err := os.WriteFile(filepath.Join(h.BinDir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(h.ConfDir, ".10-plumb.conflist.9"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), h, s); err != nil {
		t.Fatal(err)
	}
	h.modes(t, "-rw------- .other.123", "-rw------- .plumb-cni.save", "-rwxr-xr-x plumb-cni", "-rw-r--r-- 10-plumb.conflist")
}

// Installers come one after the other.
func TestInstallersWaitForEachOther(t *testing.T) {
	h, s := host(t)
	if err := os.Mkdir(h.BinDir, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(t.Context(), h.BinDir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no more patience"))
	if _, err := Install(ctx, h, s); err == nil || !strings.Contains(err.Error(), "no more patience") {
		t.Errorf("while another is at work: %v", err)
	}
	h.modes(t)
	done := make(chan error)
	go func() {
		_, err := Install(t.Context(), h, s)
		done <- err
	}()
	unlock()
	if err := <-done; err != nil {
		t.Errorf("after the other: %v", err)
	}
	h.has(t, s)
}
