package desired

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dataLink is a link in a Kubernetes volume (ConfigMap, projected) to the folder with
// the volume's present version; the visible names are links through it.
const dataLink = "..data"

// maxReadings is how often a volume is read before it counts as never at rest.
const maxReadings = 100

// readDir reads the parts of a directory: of a Kubernetes volume, those of one version.
//
// The kubelet renames ..data to a new folder, then links the names that are new, then
// unlinks those that are gone, then removes the old folder (AtomicWriter.Write,
// pkg/volume/util/atomic_writer.go): read through the visible names, a part that took
// over half of another's nodes is missing for a moment, and what is there is valid. So
// the link is followed once, for all. A folder whose link is the same afterwards was
// not being removed meanwhile.
func readDir(dir string) ([]Source, error) {
	for range maxReadings {
		version := versionOf(dir)
		sources, err := readParts(dir, version)
		if versionOf(dir) == version {
			return sources, err
		}
	}
	return nil, fmt.Errorf("%s: it changed while it was read, %d times in a row", dir, maxReadings)
}

// versionOf is the folder of a volume's present version; empty where dir is no volume.
func versionOf(dir string) string {
	target, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil || filepath.IsAbs(target) {
		return target
	}
	return filepath.Join(dir, target)
}

func readParts(dir, version string) ([]Source, error) {
	parts, err := partsOf(dir, version)
	if err != nil {
		return nil, err
	}
	var sources []Source
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		src, err := readPart(parts[name], filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if src != nil {
			sources = append(sources, *src)
		}
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("%s: the directory has no *.yaml file", dir)
	}
	return sources, nil
}

// partsOf gives the paths of parts by their names: the version's, and what else is
// visible in dir.
func partsOf(dir, version string) (map[string]string, error) {
	parts := map[string]string{}
	if version != "" {
		entries, err := os.ReadDir(version)
		if err != nil {
			return nil, named(err, filepath.Join(dir, dataLink))
		}
		for _, e := range entries {
			if isPart(e.Name()) {
				parts[e.Name()] = filepath.Join(version, e.Name())
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !isPart(e.Name()) || version != "" && isThroughData(path) {
			continue
		}
		parts[e.Name()] = path
	}
	return parts, nil
}

// isPart goes by the name. The hidden files are editors', and those of volumes.
func isPart(name string) bool {
	return !strings.HasPrefix(name, ".") && filepath.Ext(name) == ".yaml"
}

// isThroughData says of a visible name that the kubelet made it, or takes it away.
func isThroughData(path string) bool {
	target, err := os.Readlink(path)
	return strings.HasPrefix(target, dataLink+"/") || errors.Is(err, fs.ErrNotExist)
}

// readPart reads a part under the name that the user knows; nil where it is no file.
func readPart(path, name string) (*Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, named(err, name)
	}
	if !info.Mode().IsRegular() {
		return nil, nil // a directory, or something that would block us
	}
	src, err := readFile(path, name)
	if err != nil {
		return nil, err
	}
	return &src, nil
}

// named has an error about a path tell another name of it.
func named(err error, name string) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		at.Path = name
	}
	return err
}
