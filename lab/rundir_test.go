package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunDir(t *testing.T) {
	for _, c := range []struct{ lab, xdg, name, want string }{
		{"/l", "/x", "lab", "/l/lab"},
		{"/l", "", "two", "/l/two"},
	} {
		t.Setenv(DirVariable, c.lab)
		t.Setenv("XDG_RUNTIME_DIR", c.xdg)
		if got, err := RunDir(c.name); err != nil || string(got) != c.want {
			t.Errorf("RunDir(%q) with %+v = %q, %v", c.name, c, got, err)
		}
	}
	for _, name := range []string{"", "..", "a/b", "-a", strings.Repeat("a", 16)} {
		if d, err := RunDir(name); err == nil {
			t.Errorf("RunDir(%q) = %q, want an error", name, d)
		}
	}
}

// The lock is what says that a lab runs: it is had once at a time, and one that
// was removed with its directory locks nothing.
func TestLock(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "plumb-lab", "x"))
	if err := d.create(); err != nil {
		t.Fatal(err)
	}
	lock, err := d.acquire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.acquire(); !errors.Is(err, errLocked) {
		t.Fatalf("a second time: %v, want %v", err, errLocked)
	}
	lock.Close()
	if lock, err = d.acquire(); err != nil {
		t.Fatalf("after it was let go: %v", err)
	}
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if _, err := os.Stat(filepath.Dir(string(d))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of labs is left: %v", err)
	}
	if was, err := Down(context.Background(), d); was || err != nil {
		t.Errorf("down without a lab: %v, %v", was, err)
	}
}

func TestCreateRefusesTheDirectoryOfOthers(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "x"))
	if err := os.Mkdir(string(d), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(string(d), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := d.create(); err == nil || !strings.Contains(err.Error(), DirVariable) {
		t.Errorf("create in a directory that all may write to: %v", err)
	}
	d = Dir("/tmp/" + strings.Repeat("long/", 20))
	if err := d.create(); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("create with a path that is too long for a socket: %v", err)
	}
}

// A process number that is another's by now is not killed.
func TestKillChecksTheStartTime(t *testing.T) {
	d := Dir(t.TempDir())
	if err := d.writeProcess(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(d.process())
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(b), `"start":`, `"start":9`, 1)
	if err := os.WriteFile(d.process(), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.kill(); err != nil { // we live on
		t.Error(err)
	}
}
