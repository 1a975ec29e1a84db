// Package install puts the CNI plugin and the conflist that calls it onto a host,
// and takes them away again, while a container runtime uses both.
package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Plugin is the name of the plugin: its file's, and its type in a conflist.
const Plugin = "plumb-cni"

// Where container runtimes look where they are not told otherwise.
const (
	DefaultBinDir   = "/opt/cni/bin"
	DefaultConfDir  = "/etc/cni/net.d"
	DefaultConfName = "10-plumb.conflist"
)

// Host is where the two files go. The directories are named as this process sees
// them, which in a container is not as the host does.
type Host struct {
	BinDir   string
	ConfDir  string
	ConfName string // ends in .conflist
}

// Source is what goes there.
type Source struct {
	Plugin   string // the file
	Conflist []byte
	Name     string // the conflist's, in errors
}

// Did is what became of a file.
type Did string

// What can become of one.
const (
	Installed Did = "installed" // it was not there
	Updated   Did = "updated"   // it was there, and differed
	Unchanged Did = "unchanged" // it was there as it should be
	Removed   Did = "removed"
	Absent    Did = "absent" // it was to be removed, and was not there
	Made      Did = "made"   // a directory that was not there
)

// Step is one thing that was done, or was found done.
type Step struct {
	Did  Did    `json:"did"`
	Path string `json:"path"`
}

func (s Step) String() string { return string(s.Did) + " " + s.Path }

// Report is what was done, in order, and what is not as it should be otherwise.
type Report struct {
	Steps    []Step   `json:"steps"`
	Warnings []string `json:"warnings,omitempty"`
}

func (r *Report) add(did Did, path string) { r.Steps = append(r.Steps, Step{did, path}) }

func (h Host) plugin() string   { return filepath.Join(h.BinDir, Plugin) }
func (h Host) conflist() string { return filepath.Join(h.ConfDir, h.ConfName) }

// check: a runtime reads a file of another extension as something else, or not at
// all.
func (h Host) check() error {
	if h.BinDir == "" || h.ConfDir == "" {
		return errors.New("the directory of the plugins or of the conflists is empty")
	}
	if filepath.Base(h.ConfName) != h.ConfName || filepath.Ext(h.ConfName) != ".conflist" || h.ConfName == ".conflist" {
		return fmt.Errorf("conflist name %q: give the name of a file that ends in .conflist, as %s", h.ConfName, DefaultConfName)
	}
	return nil
}

// Beside finds the plugin that was installed together with a program of plumb's.
func Beside(program string) (string, error) {
	path := filepath.Join(filepath.Dir(program), Plugin)
	if err := executable(path); err != nil {
		return "", fmt.Errorf("%w; it has to be beside %s, where `make build` and `make install` put it", err, filepath.Base(program))
	}
	return path, nil
}

// executable: what is copied has to be a program, which a mistyped path seldom is.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: there is no such file", path)
	case err != nil:
		return err
	case !info.Mode().IsRegular(), info.Mode()&0o111 == 0, info.Size() == 0:
		return fmt.Errorf("%s: is not an executable file", path)
	}
	return nil
}

// Install brings the host to what s says, and writes nothing where it is so
// already. The conflist comes last: a runtime that finds it finds its plugin. What
// cannot be right is refused before anything is written. The report holds what was
// done, also where there is an error.
func Install(ctx context.Context, h Host, s Source) (Report, error) {
	var r Report
	called, err := parse(s.Conflist)
	if err != nil {
		err = fmt.Errorf("%s: %w", s.Name, err)
	}
	if err := errors.Join(h.check(), err, executable(s.Plugin)); err != nil {
		return r, err
	}
	program, err := os.ReadFile(s.Plugin)
	if err != nil {
		return r, err
	}
	for _, dir := range slices.Compact([]string{h.BinDir, h.ConfDir}) {
		made, err := makeDir(dir)
		if err != nil {
			return r, err
		}
		if made {
			r.add(Made, dir)
		}
	}
	unlock, err := lock(ctx, h.BinDir)
	if err != nil {
		return r, err
	}
	defer unlock()
	for _, f := range []struct {
		path    string
		content []byte
		mode    fs.FileMode
	}{{h.plugin(), program, 0o755}, {h.conflist(), s.Conflist, 0o644}} {
		sweep(f.path)
		did, err := place(f.path, f.content, f.mode)
		if err != nil {
			return r, err
		}
		r.add(did, f.path)
	}
	r.Warnings = h.warnings(called)
	return r, nil
}

// Uninstall undoes Install: the conflist first, so that no runtime looks for a
// plugin that is gone. It removes what is plumb's and nothing else; what is not
// there is no error. Directories stay.
func Uninstall(ctx context.Context, h Host) (Report, error) {
	var r Report
	if err := h.check(); err != nil {
		return r, err
	}
	unlock, err := lock(ctx, h.BinDir)
	switch {
	case err == nil:
		defer unlock()
	case !errors.Is(err, fs.ErrNotExist):
		return r, err
	}
	text, err := os.ReadFile(h.conflist())
	if err == nil {
		if _, err := parse(text); err != nil {
			return r, fmt.Errorf("%s: %w; it is not plumb's, and stays", h.conflist(), err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if err := r.remove(h.conflist()); err != nil {
		return r, err
	}
	if users := h.users(); len(users) > 0 {
		return r, fmt.Errorf("%s: stays, since %s calls it; remove that first", h.plugin(), users[0])
	}
	return r, r.remove(h.plugin())
}

// remove removes a file, and what was on its way there.
func (r *Report) remove(path string) error {
	sweep(path)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.add(Absent, path)
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s: is a directory, and not plumb's", path)
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	r.add(Removed, path)
	return syncDir(filepath.Dir(path))
}
