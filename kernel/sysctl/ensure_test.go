package sysctl

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// A parameter that is right is not written: the kernel tells who watches the file.
func TestEnsureWritesWhatDiffersAlone(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		const path = "net/ipv4/conf/lo/forwarding"
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if _, err := unix.InotifyAddWatch(fd, root+path, unix.IN_MODIFY); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			value   string
			written bool
		}{{"0", false}, {"1", true}, {"1", false}, {"0", true}} {
			if err := Ensure(path, c.value); err != nil {
				t.Fatal(err)
			}
			if got, err := new(files).read(path); got != c.value {
				t.Errorf("%q, want %s (%v)", got, c.value, err)
			}
			_, err := unix.Read(fd, make([]byte, 4096))
			if written := !errors.Is(err, unix.EAGAIN); written != c.written {
				t.Errorf("%s is written: %v, want %v", c.value, written, c.written)
			}
		}
		if err := Ensure("net/ipv4/conf/none/forwarding", "1"); !errors.Is(err, unix.ENOENT) {
			t.Errorf("of a device that is not there: %v", err)
		}
		if err := Ensure(path, "many"); err == nil {
			t.Error("a word for a number")
		}
	})
}
