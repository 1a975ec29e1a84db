package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxFileSize is in bytes. A cluster of ten thousand nodes takes about 2 MiB.
const maxFileSize = 16 << 20

// Source is the text of one state file.
type Source struct {
	Name string // the path as the user gave it; in a directory, DIRECTORY/BASE
	Data []byte
}

// Load reads and parses the state file or directory at path. File is nil where
// there is an error or a problem that is not a warning.
func Load(path string) (*File, []Problem, error) {
	sources, err := Read(path)
	if err != nil {
		return nil, nil, err
	}
	f, problems := Parse(sources)
	return f, problems, nil
}

// Read reads the state file at path, or where path is a directory, its *.yaml
// files in the order of their names, or an agent's copy of either (KeptName), with
// the names that it was read from. Errors name the file: one that cannot be
// read or is above 16 MiB, a directory without any *.yaml.
func Read(path string) ([]Source, error) {
	if filepath.Base(path) == KeptName {
		return readKept(path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return readDir(path)
	}
	// No look at the kind of file here: a pipe is fine, so that
	// `plumb validate -f <(…)` works.
	src, err := readFile(path, path)
	if err != nil {
		return nil, err
	}
	return []Source{src}, nil
}

// readFile reads the file at path as the source of this name.
func readFile(path, name string) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return Source{}, named(err, name)
	}
	defer f.Close()
	// One byte more than is allowed tells a file of just that size from a
	// larger one, without reading the rest of it.
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return Source{}, named(err, name)
	}
	if len(data) > maxFileSize {
		return Source{}, fmt.Errorf("%s: the file is larger than %d MiB", name, maxFileSize>>20)
	}
	return Source{Name: name, Data: data}, nil
}

// Hash identifies the sources by their contents and the last parts of their
// names, wherever they lie: 64 hexadecimal digits of a SHA-256.
func Hash(sources []Source) string {
	h := sha256.New()
	for _, s := range sources {
		// The lengths keep text from moving between name and content, or from
		// one file to the next, without a change of the hash.
		base := filepath.Base(s.Name)
		fmt.Fprintf(h, "%d %d\n%s", len(base), len(s.Data), base)
		h.Write(s.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}
