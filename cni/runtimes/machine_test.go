package runtimes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// onNode runs a test as root in namespaces of network and mounts, and then looks
// whether anything of it is left on the machine.
func onNode(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("container runtimes need root, for cgroups and the owners of files: run the tests as root")
	}
	if !inNamespace {
		noteSources(t)
		before := machine(t)
		t.Cleanup(func() {
			removeCgroups(t)
			if after := machine(t); !slices.Equal(before, after) {
				t.Errorf("the machine had\n%s\nand has now\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
		})
	}
	nstest.Run(t, func(t *testing.T) {
		// Both runtimes keep their state in these places, and libcni its cache.
		for _, dir := range []string{"/run", "/var/lib", "/var/tmp", "/dev/shm"} {
			nstest.Sh(t, "mount --make-rprivate / && mount -t tmpfs tmpfs "+dir)
		}
		body(t)
	})
}

// noteSources reads the repository's folders: go test does not see what the programs
// are built from, and would give the cached result of before a change of theirs.
func noteSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(_ string, d fs.DirEntry, err error) error {
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

// machine lists what runtimes and CNI plugins would leave on the machine if they
// were not in namespaces: the entries of their places, mounts, cgroups.
func machine(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, pattern := range []string{
		"/etc/cni/net.d/*", "/etc/containers/*", "/opt/cni/*", "/opt/containerd/*",
		"/var/lib/cni/*", "/var/lib/containers", "/var/lib/containerd", "/var/lib/plumb/*",
		"/run/containerd", "/run/containers", "/run/libpod", "/run/runc", "/run/crun", "/dev/shm/libpod_lock",
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, paths...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, os.Getenv(folder)) {
			list = append(list, "mount "+strings.TrimSpace(line))
		}
	}
	return append(list, cgroups(t)...)
}

// cgroupParent is the cgroup below which the runtimes make theirs.
func cgroupParent() string { return filepath.Base(os.Getenv(folder)) }

// cgroups lists the cgroups of this test, in every hierarchy, inner ones last.
func cgroups(t *testing.T) []string {
	t.Helper()
	// Version 1 has one hierarchy a controller, below /sys/fs/cgroup; version 2 is there itself.
	var list []string
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		roots, err := filepath.Glob(pattern + cgroupParent())
		if err != nil {
			t.Fatal(err)
		}
		for _, root := range roots {
			err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					list = append(list, path)
				}
				return err
			})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	return list
}

// removeCgroups removes what the runtimes leave of theirs, also when they are killed.
func removeCgroups(t *testing.T) {
	t.Helper()
	all := cgroups(t)
	for _, path := range slices.Backward(all) {
		if err := os.Remove(path); err != nil {
			t.Errorf("cgroup: %v", err)
		}
	}
}
