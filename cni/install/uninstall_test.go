package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, mode os.FileMode, text string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestUninstall(t *testing.T) {
	h, s := host(t)
	for _, want := range []string{
		"removed 10-plumb.conflist, removed plumb-cni", // the conflist first
		"absent 10-plumb.conflist, absent plumb-cni",
	} {
		if strings.HasPrefix(want, "removed") {
			install(t, h, s, "made bin, made net.d, installed plumb-cni, installed 10-plumb.conflist")
			write(t, 0o755, "another's", h.BinDir, "portmap")
			write(t, 0o644, `{"name": "x", "type": "bridge"}`, h.ConfDir, "99-bridge.conf")
			write(t, 0o600, "half a plu", h.BinDir, ".plumb-cni.77")
		}
		if r, err := Uninstall(t.Context(), h); err != nil || steps(r) != want {
			t.Errorf("it did: %s (%v), want: %s", steps(r), err, want)
		}
		h.modes(t, "-rwxr-xr-x portmap", "-rw-r--r-- 99-bridge.conf")
	}
	h.BinDir, h.ConfDir = "/nowhere/bin", "/nowhere/net.d"
	if r, err := Uninstall(t.Context(), h); err != nil || steps(r) != "absent 10-plumb.conflist, absent plumb-cni" {
		t.Errorf("where there is no directory: %s (%v)", steps(r), err)
	}
}

// Only what is plumb's is removed.
func TestUninstallLeavesOthersAlone(t *testing.T) {
	for _, c := range []struct {
		name, file, text, did, want string
	}{
		{
			"another's conflist", DefaultConfName, `{"name": "x", "plugins": [{"type": "bridge"}]}`,
			"", `10-plumb.conflist: has no plugin of "type": "plumb-cni"; it is not plumb's, and stays`,
		},
		{
			"nobody's conflist", DefaultConfName, "not JSON",
			"", "10-plumb.conflist: line 1, column 2: invalid character",
		},
		{
			"a plugin that another conflist calls", "50-own.conflist", `{"name": "x", "plugins": [{"type": "plumb-cni"}]}`,
			"removed 10-plumb.conflist", "plumb-cni: stays, since ",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, s := host(t)
			install(t, h, s, "made bin, made net.d, installed plumb-cni, installed 10-plumb.conflist")
			write(t, 0o644, c.text, h.ConfDir, c.file)
			r, err := Uninstall(t.Context(), h)
			if err == nil || !strings.Contains(err.Error(), c.want) || steps(r) != c.did {
				t.Errorf("it did: %q, %v, want %q, %s", steps(r), err, c.did, c.want)
			}
			h.modes(t, "-rwxr-xr-x plumb-cni", "-rw-r--r-- "+c.file)
		})
	}
	h, s := host(t)
	install(t, h, s, "made bin, made net.d, installed plumb-cni, installed 10-plumb.conflist")
	if err := os.Remove(h.plugin()); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(h.plugin(), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Uninstall(t.Context(), h); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory of the plugin's name: %v", err)
	}
}

// What keeps a runtime from using what was installed is said, and does not keep
// it from being installed.
func TestWarnings(t *testing.T) {
	h, s := host(t)
	var err error
	if s.Conflist, err = (Conf{Chain: Chainable()}).Conflist(); err != nil {
		t.Fatal(err)
	}
	r := install(t, h, s, "made bin, made net.d, installed plumb-cni, installed 10-plumb.conflist")
	if len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0], h.BinDir+" lacks portmap and bandwidth, which the conflist calls") {
		t.Errorf("without the plugins behind it: %q", r.Warnings)
	}
	write(t, 0o755, "portmap's", h.BinDir, "portmap")
	write(t, 0o644, "not executable", h.BinDir, "bandwidth")
	for _, name := range []string{"05-calico.conflist", "00.conf", "1.json", "00-readme.txt", "87-podman.conflist"} {
		write(t, 0o644, "{}", h.ConfDir, name)
	}
	if err := os.Mkdir(filepath.Join(h.ConfDir, "01.conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, err = Install(t.Context(), h, s)
	if err != nil {
		t.Fatal(err)
	}
	var about []string
	for _, w := range r.Warnings {
		first, _, _ := strings.Cut(w, ":")
		about = append(about, strings.TrimPrefix(first, filepath.Dir(h.ConfDir)+"/"))
	}
	want := []string{
		"net.d/00.conf sorts before 10-plumb.conflist, and a runtime uses the first",
		"net.d/05-calico.conflist sorts before 10-plumb.conflist, and a runtime uses the first",
		"net.d/1.json sorts before 10-plumb.conflist, and a runtime uses the first",
		"bin lacks bandwidth, which the conflist calls, so that no pod can be made",
	}
	if strings.Join(about, "\n") != strings.Join(want, "\n") {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(about, "\n"), strings.Join(want, "\n"))
	}
}
