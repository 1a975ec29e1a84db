package install

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// While both are replaced again and again, whoever executes the plugin and reads
// the conflist finds them whole.
func TestUpdateWhileInUse(t *testing.T) {
	h, one := host(t)
	two := source(t, "two")
	install(t, h, one, "made bin, made net.d, installed plumb-cni, installed 10-plumb.conflist")

	// Another process executes, since a file that this one writes could be open for
	// a moment in a child that it forks.
	runner := exec.Command("sh", "-c", `while "$0" </dev/null; do echo ran; done 2>&1; echo "exit status $?"`, h.plugin())
	out, err := runner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Start(); err != nil {
		t.Fatal(err)
	}
	defer runner.Wait()
	defer runner.Process.Kill()
	ran := make(chan string)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case ran <- lines.Text():
			case <-t.Context().Done(): // the test has ended
			}
		}
	}()

	var updates atomic.Int64
	failed := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		defer close(failed)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := Install(t.Context(), h, []Source{one, two}[updates.Add(1)%2]); err != nil {
				failed <- err
				return
			}
		}
	}()
	limit := time.After(time.Minute)
	for runs := 0; runs < 200 || updates.Load() < 50; {
		select {
		case line := <-ran:
			if line != "ran" {
				t.Fatalf("after %d runs: %q", runs, line)
			}
			runs++
		case err := <-failed:
			t.Fatalf("after %d updates: %v", updates.Load(), err)
		case <-limit:
			t.Fatalf("only %d runs and %d updates in a minute", runs, updates.Load())
		}
		if _, err := libcni.NetworkConfFromFile(h.conflist()); err != nil {
			t.Fatal("a runtime reads:", err)
		}
	}
	close(stop)
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

// A plugin that runs cannot be written to; it can be replaced, and runs on.
func TestReplaceARunningPlugin(t *testing.T) {
	h, one := host(t)
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	slow := one
	slow.Plugin = filepath.Join(t.TempDir(), "slow")
	if err := os.WriteFile(slow.Plugin, sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	install(t, h, slow, "made bin, made net.d, installed plumb-cni, installed 10-plumb.conflist")
	running := exec.Command(h.plugin(), "600")
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	if f, err := os.OpenFile(h.plugin(), os.O_WRONLY, 0); err == nil {
		f.Close()
		t.Error("a running program can be written to: this test shows nothing")
	}
	install(t, h, one, "updated plumb-cni, unchanged 10-plumb.conflist")
	if err := running.Process.Kill(); err != nil {
		t.Error("the one that ran does no more:", err)
	}
	running.Wait()
	if err := exec.Command(h.plugin()).Run(); err != nil {
		t.Error("the new one:", err)
	}
}

// tmpfs mounts a file system on a directory that it makes.
func tmpfs(t *testing.T, dir, options string) {
	t.Helper()
	nstest.Sh(t, fmt.Sprintf("mount --make-rprivate /; mkdir -p %[1]s; mount -t tmpfs -o %[2]s tmpfs %[1]s", dir, options))
	t.Cleanup(func() { nstest.Sh(t, "umount "+dir) })
}

// On a full disk what was there stays, and nothing else is left; the plugin comes
// first, so that what is done when the second fails does no harm.
func TestFullDisk(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		h, one := host(t)
		two := source(t, "two")
		for _, c := range []struct{ full, did string }{
			{h.BinDir, ""},
			{h.ConfDir, "updated plumb-cni"},
		} {
			tmpfs(t, c.full, "size=4m")
			if _, err := Install(t.Context(), h, one); err != nil {
				t.Fatal(err)
			}
			nstest.Sh(t, "head -c 9m /dev/zero >"+c.full+"/full 2>/dev/null || true")
			r, err := Install(t.Context(), h, two)
			if err == nil || !strings.Contains(err.Error(), "no space left on device") || steps(r) != c.did {
				t.Errorf("%s is full: it did %q, %v", c.full, steps(r), err)
			}
			nstest.Sh(t, "rm "+c.full+"/full")
			h.modes(t, "-rwxr-xr-x plumb-cni", "-rw-r--r-- 10-plumb.conflist")
			if text, err := os.ReadFile(h.conflist()); err != nil || string(text) != string(one.Conflist) {
				t.Errorf("the conflist that was there: %s (%v)", text, err)
			}
			if out, err := exec.Command(h.plugin()).CombinedOutput(); err != nil {
				t.Errorf("the plugin that was there: %v %s", err, out)
			}
		}
	})
}

// In a directory that cannot be written to nothing needs to be, where nothing
// differs.
func TestReadOnlyDirectory(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		h, one := host(t)
		for _, c := range []struct{ dir, did string }{
			{h.BinDir, ""},
			{h.ConfDir, "updated plumb-cni"},
		} {
			tmpfs(t, c.dir, "size=4m")
			if _, err := Install(t.Context(), h, one); err != nil {
				t.Fatal(err)
			}
			nstest.Sh(t, "mount -o remount,bind,ro "+c.dir)
			install(t, h, one, "unchanged plumb-cni, unchanged 10-plumb.conflist")
			r, err := Install(t.Context(), h, source(t, "two"))
			if err == nil || !strings.Contains(err.Error(), "read-only file system") || steps(r) != c.did {
				t.Errorf("%s is read-only: it did %q, %v", c.dir, steps(r), err)
			}
			if _, err := Uninstall(t.Context(), h); err == nil || !strings.Contains(err.Error(), "read-only file system") {
				t.Errorf("uninstall with %s read-only: %v", c.dir, err)
			}
			nstest.Sh(t, "mount -o remount,bind,rw "+c.dir)
		}
	})
}
