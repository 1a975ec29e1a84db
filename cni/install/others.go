package install

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// configurations are the names of the files in the directory that runtimes read,
// in the order in which they do.
func (h Host) configurations() []string {
	entries, err := os.ReadDir(h.ConfDir) // sorted
	if err != nil {
		return nil // who needs the directory says so
	}
	var names []string
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".conf", ".conflist", ".json":
			if !e.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	return names
}

// users are the other conflists that call plumb.
func (h Host) users() []string {
	var paths []string
	for _, name := range h.configurations() {
		path := filepath.Join(h.ConfDir, name)
		text, err := os.ReadFile(path)
		if err != nil || name == h.ConfName {
			continue
		}
		if _, err := parse(text); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// warnings say what keeps pods from being made with plumb although both files are
// in place.
func (h Host) warnings(called calls) []string {
	var out []string
	for _, name := range h.configurations() {
		if name < h.ConfName {
			out = append(out, fmt.Sprintf("%s sorts before %s, and a runtime uses the first: remove it, or give ours an earlier name (--conf-name)",
				filepath.Join(h.ConfDir, name), h.ConfName))
		}
	}
	var missing []string
	for _, name := range called {
		if executable(filepath.Join(h.BinDir, name)) != nil && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		out = append(out, fmt.Sprintf("%s lacks %s, which the conflist calls, so that no pod can be made: "+
			"install the plugins of containernetworking there (Debian has them in /usr/lib/cni: containernetworking-plugins), "+
			"or leave them out (--chain=)", h.BinDir, strings.Join(missing, " and ")))
	}
	return out
}
