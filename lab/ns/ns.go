// Package ns makes network namespaces and does things in them.
package ns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Dir is where ip-netns(8) keeps its namespaces.
const Dir = "/run/netns"

// Path is the file that a namespace of this name is bound to.
func Path(name string) string { return Dir + "/" + name }

// Add makes a network namespace as `ip netns add` does: bound to a file of Dir.
func Add(name string) error {
	path := Path(name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	f.Close()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		// Not /proc/self: that is the process's first thread, not this one.
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, errors.Join(err, os.Remove(path)))
	}
	return nil
}

// Do runs f on a thread in the namespace of this name. Sockets that f opens and
// processes that it starts belong to that namespace for good; f must do so in
// its own goroutine. The thread has the namespace's name as its host name.
func Do(name string, f func() error) error {
	return onThread(func() error {
		fd, err := unix.Open(Path(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("namespace %s: %w", name, err)
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("namespace %s: setns: %w", name, err)
		}
		// So that a shell's prompt, and an agent without --node, say the right name.
		if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("namespace %s: unshare: %w", name, err)
		}
		if err := unix.Sethostname([]byte(name)); err != nil {
			return fmt.Errorf("namespace %s: host name: %w", name, err)
		}
		return f()
	})
}

// Sysfs gives the calling thread a /sys that shows its network namespace, as
// `ip netns exec` does. Call it within Do.
func Sysfs() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	return nil
}

// onThread runs f on a thread that ends with it: a thread that has left its
// namespaces must run no other goroutine.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread goes with the goroutine
		done <- f()
	}()
	return <-done
}
