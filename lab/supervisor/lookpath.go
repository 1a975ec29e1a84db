package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// What a shell says with the exit statuses 127 and 126.
var (
	errNotFound      = errors.New("command not found")
	errNotExecutable = errors.New("is not an executable file")
)

// lookPath finds a command as the client's shell would: exec.LookPath looks into
// this process's PATH and folder.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	err := errNotFound
	for _, kv := range env {
		path, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, d := range filepath.SplitList(path) {
			file := filepath.Join(d, name)
			e := executable(file)
			if e == nil {
				return file, nil
			}
			if errors.Is(e, errNotExecutable) {
				err = e
			}
		}
	}
	return "", err
}

func executable(file string) error {
	fi, err := os.Stat(file)
	switch {
	case err != nil: // also a folder of PATH that the user may not enter
		return errNotFound
	case fi.IsDir(), fi.Mode()&0o111 == 0:
		return errNotExecutable
	}
	return nil
}
