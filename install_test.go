package plumb_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// make runs a target of the Makefile, with the binaries in a folder of the test's.
func runMake(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("make", args...)
	// A make that runs the tests hands its flags down.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "MAKE") })
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// What make install puts where, and that make uninstall takes all of it away.
func TestInstall(t *testing.T) {
	noteFiles(t)
	root, bin := t.TempDir(), t.TempDir()
	variables := []string{"DESTDIR=" + root, "PREFIX=/usr", "BIN=" + bin, "VERSION=v9.8.7"}
	runMake(t, append(variables, "install")...)

	var got []string
	files := func() []string {
		var list []string
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				info, ierr := d.Info()
				if err = ierr; err == nil {
					list = append(list, info.Mode().String()+" "+strings.TrimPrefix(path, root))
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for _, f := range files() {
		if !strings.Contains(f, "/man1/plumb-") {
			got = append(got, f)
		}
	}
	const want = `-rw-r--r-- /etc/iproute2/rt_protos.d/plumb.conf
-rwxr-xr-x /usr/bin/plumb
-rwxr-xr-x /usr/bin/plumb-cni
-rw-r--r-- /usr/lib/systemd/system/plumb.service
-rw-r--r-- /usr/share/bash-completion/completions/plumb
-rw-r--r-- /usr/share/fish/vendor_completions.d/plumb.fish
-rw-r--r-- /usr/share/man/man1/plumb.1
-rw-r--r-- /usr/share/zsh/site-functions/_plumb`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("installed is\n%s\nwant\n%s", text, want)
	}
	out, err := exec.Command(root+"/usr/bin/plumb", "version").Output()
	if err != nil || !strings.Contains(string(out), "v9.8.7") {
		t.Errorf("the installed program: %s, %v", out, err)
	}
	if info, err := os.Stat(root + "/etc/plumb"); err != nil || info.Mode() != fs.ModeDir|0o755 {
		t.Errorf("the state file's folder: %v, %v", info, err)
	}
	checkRebuilt(t, bin, variables)
	checkCompletion(t, root)
	t.Run("unit", func(t *testing.T) { checkUnit(t, root) })

	runMake(t, append(variables, "uninstall")...)
	if left := files(); len(left) > 0 {
		t.Errorf("make uninstall leaves %v", left)
	}
}

// An upgrade installs what the sources are now, and not what was built of older ones;
// but root, who may have no Go, does not build what a user has built.
func checkRebuilt(t *testing.T, bin string, variables []string) {
	t.Helper()
	builds := func() bool { return strings.Contains(runMake(t, append(variables, "-n", "install")...), "go build") }
	if builds() {
		t.Error("what was just built is built again")
	}
	for _, name := range []string{"plumb", "plumb-cni"} {
		path := filepath.Join(bin, name)
		info, err := os.Stat(path)
		if err == nil {
			err = os.Chtimes(path, time.Time{}, time.Unix(0, 0))
		}
		if err != nil {
			t.Fatal(err)
		}
		if !builds() {
			t.Errorf("a %s that is older than the sources is installed", name)
		}
		if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
}

// Each shell completes verbs and forms; bash is here to show it.
func checkCompletion(t *testing.T, root string) {
	t.Helper()
	for path, first := range map[string]string{"zsh/site-functions/_plumb": "#compdef plumb", "fish/vendor_completions.d/plumb.fish": "# fish completion for plumb"} {
		if text, err := os.ReadFile(root + "/usr/share/" + path); err != nil || !strings.HasPrefix(string(text), first) {
			t.Errorf("%s: %v\n%.200s", path, err, text)
		}
	}
	const complete = `
		PATH=$ROOT/usr/bin:$PATH
		_get_comp_words_by_ref() { :; }
		__ltrim_colon_completions() { :; }
		compopt() { :; } # outside a completion there are no options
		_init_completion() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
		. $ROOT/usr/share/bash-completion/completions/plumb
		try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; COMPREPLY=(); __start_plumb; echo "${COMPREPLY[@]}"; }
		try plumb rend
		try plumb render -o n
		try plumb completion f
	`
	cmd := exec.Command("bash", "-c", complete)
	cmd.Env = append(os.Environ(), "ROOT="+root)
	out, err := cmd.CombinedOutput()
	if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != "render nft fish" {
		t.Errorf("bash completes to %q, %v", got, err)
	}
}

// checkUnit has systemd judge the unit, and how much it could do if it were taken over.
func checkUnit(t *testing.T, root string) {
	unit := root + "/usr/lib/systemd/system/plumb.service"
	text, err := os.ReadFile(unit)
	if err != nil || !regexp.MustCompile(`(?m)^ExecStart=/usr/bin/plumb agent$`).Match(text) || strings.Contains(string(text), "@") && regexp.MustCompile(`@[A-Z]+@`).Match(text) {
		t.Errorf("%v\n%s", err, text)
	}
	// In the root of the installation, and not the machine's.
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root="+root, unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// In tenths; 96 is a unit that may do all, 25 the mark below which it is rated OK.
	if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
