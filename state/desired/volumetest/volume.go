// Package volumetest changes a directory as the kubelet changes a ConfigMap's volume.
package volumetest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Volume is a ConfigMap's volume: the parts are in a folder that is never changed, the
// link ..data leads to it, and the visible names are links through that. A change is a
// new folder, and one rename of the link (AtomicWriter.Write,
// pkg/volume/util/atomic_writer.go of Kubernetes).
type Volume struct {
	T   testing.TB
	Dir string
	// Between is called after every step of a change: the kubelet is a program among
	// others, and may have to wait there. Optional.
	Between func()

	versions int
}

// Write makes data the volume's next version.
func (v *Volume) Write(data map[string]string) {
	v.T.Helper()
	v.versions++
	version := "..2026_01_02_03_04_05." + strconv.Itoa(v.versions)
	folder, link := filepath.Join(v.Dir, version), filepath.Join(v.Dir, "..data")
	v.step(os.MkdirAll(folder, 0o755))
	for name, text := range data {
		v.step(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	}
	old, _ := os.Readlink(link) // the first has none
	v.step(os.Symlink(version, link+"_tmp"))
	v.step(os.Rename(link+"_tmp", link))
	for name := range data {
		if err := os.Symlink("..data/"+name, filepath.Join(v.Dir, name)); !errors.Is(err, os.ErrExist) {
			v.step(err)
		}
	}
	visible, err := filepath.Glob(filepath.Join(v.Dir, "[^.]*"))
	v.step(err)
	for _, path := range visible {
		if _, ok := data[filepath.Base(path)]; !ok {
			v.step(os.Remove(path))
		}
	}
	if old != "" {
		v.step(os.RemoveAll(filepath.Join(v.Dir, old)))
	}
}

func (v *Volume) step(err error) {
	v.T.Helper()
	if err != nil {
		v.T.Fatal(err)
	}
	if v.Between != nil {
		v.Between()
	}
}
