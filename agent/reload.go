package agent

import (
	"errors"
	"log/slog"
	"time"

	"github.com/plumbnet/plumb/state/desired"
)

// grace is how long a file may be missing or half-written before that counts: an
// editor's rewrite in place is such a moment.
const grace = 100 * time.Millisecond

// FileStatus is what the agent knows of its state file.
type FileStatus struct {
	Path     string    `json:"path"`
	Hash     string    `json:"hash"`     // of the state that is in force
	LoadedAt time.Time `json:"loadedAt"` // when that was loaded
	Valid    bool      `json:"valid"`    // the file as it is now
	Errors   []string  `json:"errors,omitempty"`
	LastGood bool      `json:"lastGood"` // an earlier file is in force, not the present one
	Warnings []string  `json:"warnings,omitempty"`
}

// reloader reads the state file again when it may have changed, and hands over
// what is new. It belongs to one goroutine.
type reloader struct {
	path, node string
	log        *slog.Logger
	sleep      func(time.Duration)

	current  *Loaded // in force; nil before the first
	lastErr  string  // said last, so that it is said once
	lastHash string  // of the content that was looked at last
}

// look reads the file. It gives the new state where there is one, else nil, and
// the status to show; the same content gives nothing twice, and is not parsed.
func (r *reloader) look() (*Loaded, FileStatus, bool) {
	l, err := r.load()
	if err != nil && err.Error() != r.lastErr {
		r.sleep(grace)
		r.lastHash = ""
		l, err = r.load()
	}
	if err != nil {
		if err.Error() == r.lastErr {
			return nil, FileStatus{}, false
		}
		r.lastErr = err.Error()
		return nil, r.invalid(err), true
	}
	if l == nil {
		return nil, FileStatus{}, false
	}
	r.lastErr = ""
	if r.current != nil && r.current.Hash == l.Hash { // it was invalid for a while, and is what it was before
		return nil, r.valid(r.current, r.current.Hash), true
	}
	r.current = l
	return l, r.valid(l, l.Hash), true
}

// load gives nil and no error where the content is what it was at the last look.
func (r *reloader) load() (*Loaded, error) {
	r.awaitWriters()
	sources, err := readWatched(r.path)
	if err != nil {
		r.lastHash = ""
		return nil, &InvalidError{Path: r.path, Err: err}
	}
	hash := desired.Hash(sources)
	if hash == r.lastHash {
		if r.lastErr != "" {
			return nil, errors.New(r.lastErr)
		}
		return nil, nil
	}
	r.lastHash = hash
	return parse(r.path, r.node, sources)
}

func (r *reloader) valid(l *Loaded, hash string) FileStatus {
	r.log.Info("state file loaded", "path", r.path, "hash", short(hash))
	return FileStatus{Path: r.path, Hash: hash, LoadedAt: time.Now(), Valid: true, Warnings: texts(l.Warnings)}
}

func (r *reloader) invalid(err error) FileStatus {
	lines := []string{err.Error()}
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		lines = invalid.Lines()
	}
	what := "the last good state stays in force"
	if r.current == nil {
		what = "nothing is changed until it is valid"
	}
	for _, line := range lines {
		r.log.Error("state file invalid; "+what, "path", r.path, "err", line)
	}
	s := FileStatus{Path: r.path, Errors: lines, LastGood: r.current != nil}
	if r.current != nil {
		s.Hash = r.current.Hash
	}
	return s
}

func texts(problems []desired.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.String())
	}
	return out
}

func short(hash string) string { return hash[:min(12, len(hash))] }
