package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state/desired"
	"github.com/plumbnet/plumb/state/endpoint"
)

// What lies in the state directory.
const (
	endpointsDir  = "endpoints"
	originalsName = "sysctls.json"
	lockName      = "lock"
	tablesName    = "tables.json"
	passwordKey   = "password.key" // these of package bgp
	bgpNeighbours = "bgp-neighbours.json"
	bgpSessions   = "bgp-sessions"
)

// Endpoints is the store of endpoint records in a state directory.
func Endpoints(stateDir string) endpoint.Store {
	return endpoint.Store{Dir: filepath.Join(stateDir, endpointsDir)}
}

// Loaded is a state file that was read and is valid for the node.
type Loaded struct {
	File     *desired.File
	Hash     string
	Warnings []desired.Problem
	sources  []desired.Source
}

// InvalidError is a state file that cannot be used: every error in it.
type InvalidError struct {
	Path     string
	Hash     string // of the content; empty where it could not be read
	Problems []desired.Problem
	Err      error // in place of Problems
}

func (e *InvalidError) Error() string { return strings.Join(e.Lines(), "\n") }

func (e *InvalidError) Unwrap() error { return e.Err }

// Lines gives one line for each error.
func (e *InvalidError) Lines() []string {
	if e.Err != nil {
		return []string{e.Err.Error()}
	}
	var out []string
	for _, p := range e.Problems {
		if !p.Warning {
			out = append(out, p.String())
		}
	}
	return out
}

// Load reads the state file (or directory), and checks that the node is in it.
// Its error is an *InvalidError.
func Load(path, node string) (*Loaded, error) {
	sources, err := desired.Read(path)
	if err != nil {
		return nil, &InvalidError{Path: path, Err: err}
	}
	return parse(path, node, sources)
}

// readWatched is desired.Read for a path that is looked at again and again: what
// would block (a FIFO) is refused.
func readWatched(path string) ([]desired.Source, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = fmt.Errorf("%s: it is neither a regular file nor a directory", path)
	}
	if err != nil {
		return nil, err
	}
	return desired.Read(path)
}

func parse(path, node string, sources []desired.Source) (*Loaded, error) {
	hash := desired.Hash(sources)
	f, problems := desired.Parse(sources)
	if f == nil {
		return nil, &InvalidError{Path: path, Hash: hash, Problems: problems}
	}
	if _, ok := f.Node(node); !ok {
		_, _, err := render.Node(f, node, render.Host{Elsewhere: true})
		return nil, &InvalidError{Path: path, Hash: hash, Err: fmt.Errorf("%s: %w", path, err)}
	}
	return &Loaded{File: f, Hash: hash, Warnings: problems, sources: sources}, nil
}

// saveLastGood keeps the file's text, so that the agent can start on it when the
// file itself is invalid.
func saveLastGood(stateDir string, l *Loaded) error {
	b, err := json.Marshal(l.sources)
	if err != nil {
		return fmt.Errorf("last good state: %w", err)
	}
	if err := endpoint.WriteFile(filepath.Join(stateDir, desired.KeptName), b); err != nil {
		return fmt.Errorf("last good state: %w", err)
	}
	return nil
}

// loadLastGood gives nil where there is none.
func loadLastGood(stateDir, node string) (*Loaded, error) {
	path := filepath.Join(stateDir, desired.KeptName)
	sources, err := desired.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(path, node, sources)
}
