package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/cni/install"
	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/state"
)

// binDir is where commands in the lab find plumb and plumb-cni: the very binaries
// that the lab was started with, also when those were replaced or removed since.
const binDir = "/run/plumb-lab.bin"

// mounts arranges the mount namespace: a /proc for the process namespace, a /run
// that the machine's own network namespaces are not seen on, the run directory
// and the binaries in it, and the names of plumb's route protocols.
func mounts(dir lab.Dir, plugin string) error {
	// What is mounted here stays here; what the machine unmounts goes here too.
	if err := mount("", "/", "", unix.MS_SLAVE|unix.MS_REC); err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC); err != nil {
		return fmt.Errorf("%w (a container that hides parts of /proc does not allow it: run the lab as root, or outside)", err)
	}
	// Held across the mount on /run, which may hide it.
	held, err := unix.Open(string(dir), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	defer unix.Close(held)
	exe, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("plumb: %w", err)
	}
	defer unix.Close(exe)
	cni, err := unix.Open(plugin, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", plugin, err)
	}
	defer unix.Close(cni)

	if err := mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV); err != nil {
		return err
	}
	// Shared, so that what an `exec` mounts on it (ip netns add) is seen by all.
	if err := mount("", "/run", "", unix.MS_SHARED); err != nil {
		return err
	}
	if strings.HasPrefix(string(dir), "/run/") {
		if err := os.MkdirAll(string(dir), 0o700); err != nil {
			return fmt.Errorf("run directory: %w", err)
		}
		if err := mount(fmt.Sprintf("/proc/self/fd/%d", held), string(dir), "", unix.MS_BIND); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(ns.Dir, 0o755); err != nil {
		return fmt.Errorf("namespaces: %w", err)
	}
	if err := errors.Join(bindBinary(exe, "plumb"), bindBinary(cni, install.Plugin)); err != nil {
		return err
	}
	return nameProtocols()
}

// bindBinary mounts an open file on a file of binDir.
func bindBinary(exe int, name string) error {
	path := filepath.Join(binDir, name)
	if err := os.MkdirAll(binDir, 0o755); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return mount(fmt.Sprintf("/proc/self/fd/%d", exe), path, "", unix.MS_BIND)
}

// nameProtocols makes ip(8) show plumb's route protocols by their names, where
// the packages that install the names may not be installed.
func nameProtocols() error {
	var names string
	for _, proto := range []uint8{state.ProtoPlumb, state.ProtoBGP} {
		names += fmt.Sprintf("%d\t%s\n", proto, state.ProtocolName(proto))
	}
	for _, dir := range []string{"/etc/iproute2/rt_protos.d", "/etc/iproute2", "/usr/share/iproute2"} {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		target := dir
		if filepath.Base(dir) != "rt_protos.d" {
			target = filepath.Join(dir, "rt_protos.d")
		}
		if err := shadow(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(target, 0o755); err != nil {
			return fmt.Errorf("rt_protos: %w", err)
		}
		if err := os.WriteFile(filepath.Join(target, "plumb.conf"), []byte(names), 0o644); err != nil {
			return fmt.Errorf("rt_protos: %w", err)
		}
		return nil
	}
	return nil // ip shows numbers
}

// shadow mounts a copy of a directory's files on it, for this mount namespace.
func shadow(dir string) error {
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("rt_protos: %w", err)
	}
	for _, e := range entries {
		if b, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil { // not its folders
			files[e.Name()] = b
		}
	}
	if err := mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC); err != nil {
		return err
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return fmt.Errorf("rt_protos: %w", err)
		}
	}
	return nil
}

func mount(source, target, kind string, flags uintptr) error {
	if err := unix.Mount(source, target, kind, flags, ""); err != nil {
		return fmt.Errorf("mount on %s: %w", target, err)
	}
	return nil
}
