package kubernetes

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// stateFile is a ConfigMap's volume as the kubelet keeps it: the parts are in a folder
// that is never changed, the link ..data leads to it, and the visible names are links
// through that. A change is a new folder, and one rename of the link
// (AtomicWriter, pkg/volume/util/atomic_writer.go of Kubernetes).
type stateFile struct {
	t        *testing.T
	dir      string
	versions int
}

func (s *stateFile) write(data map[string]string) {
	s.t.Helper()
	s.versions++
	version := "..2026_01_02_03_04_05." + strconv.Itoa(s.versions)
	writeParts(s.t, filepath.Join(s.dir, version), data)
	old, _ := os.Readlink(filepath.Join(s.dir, "..data")) // the first has none
	err := errors.Join(
		os.Symlink(version, filepath.Join(s.dir, "..data_tmp")),
		os.Rename(filepath.Join(s.dir, "..data_tmp"), filepath.Join(s.dir, "..data")),
	)
	for name := range data {
		if lerr := os.Symlink("..data/"+name, filepath.Join(s.dir, name)); !errors.Is(lerr, os.ErrExist) {
			err = errors.Join(err, lerr)
		}
	}
	visible, gerr := filepath.Glob(filepath.Join(s.dir, "[^.]*"))
	err = errors.Join(err, gerr)
	for _, path := range visible {
		if _, ok := data[filepath.Base(path)]; !ok {
			err = errors.Join(err, os.Remove(path))
		}
	}
	if old != "" {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, old)))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
