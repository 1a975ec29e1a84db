package sysctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/state"
)

// Originals remembers, in a file, what parameters were before plumb changed
// them, so that cleaning up can put them back. It is for one goroutine at a time.
type Originals struct {
	file    string
	entries map[string]original
	unsaved bool
	err     error // of the last Save
}

// Err is why what is known is not on disk; nil where it is.
func (o *Originals) Err() error { return o.err }

// original is a parameter's value before plumb's first change, and plumb's last.
type original struct {
	Before string `json:"before"`
	Ours   string `json:"ours"`
}

// OpenOriginals reads the file; one that does not exist is empty. An error names
// the file.
func OpenOriginals(file string) (*Originals, error) {
	o := &Originals{file: file, entries: map[string]original{}}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, fmt.Errorf("original sysctls: %w", err)
	}
	if err := json.Unmarshal(b, &o.entries); err != nil {
		return nil, fmt.Errorf("original sysctls: %s: %w", file, err)
	}
	if o.entries == nil { // the file says null
		o.entries = map[string]original{}
	}
	return o, nil
}

// Note records that plumb changes a parameter from before to ours. Of several
// changes, the first one's before stays.
func (o *Originals) Note(path, before, ours string) {
	was, known := o.entries[path]
	now := original{Before: before, Ours: ours}
	if known {
		now.Before = was.Before
	}
	if now != was || !known {
		o.entries[path] = now
		o.unsaved = true
	}
}

// Forget drops what is known of paths.
func (o *Originals) Forget(paths ...string) {
	for _, p := range paths {
		if _, known := o.entries[p]; known {
			delete(o.entries, p)
			o.unsaved = true
		}
	}
}

// Save writes the file, where there is anything new; the file is at any time
// either the old one or the new one. Parameters whose interface is gone are
// dropped: an interface that later bears its name is another.
func (o *Originals) Save() error {
	if !o.unsaved {
		return nil
	}
	var r files
	for path := range o.entries {
		if _, err := r.read(path); ofInterface(path) && missing(err) {
			delete(o.entries, path)
		}
	}
	b, err := json.MarshalIndent(o.entries, "", "\t")
	if err == nil {
		err = replaceFile(o.file, append(b, '\n'))
	}
	if err != nil {
		o.err = fmt.Errorf("original sysctls: %w", err)
		return o.err
	}
	o.unsaved, o.err = false, nil
	return nil
}

// Restorations gives what is to be written so that everything is as before
// plumb: the parameters that still have plumb's value, those too that plumb never
// changed and that one of these would change. What somebody else has set since
// then stays. The node's forwarding switches come first.
func (o *Originals) Restorations() []state.Sysctl {
	var r files
	var out []state.Sysctl
	for path, was := range o.entries {
		if now, err := r.read(path); err == nil && now == was.Ours {
			out = append(out, state.Sysctl{Path: path, Value: was.Before})
		}
	}
	slices.SortFunc(out, func(a, b state.Sysctl) int {
		if sa, sb := switchFamily(a.Path) != 0, switchFamily(b.Path) != 0; sa != sb {
			if sa {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	return out
}

// Untouched gives those of Restorations that plumb never changed: who turns a
// switch of the node off again must set them again.
func (o *Originals) Untouched() []state.Sysctl {
	return slices.DeleteFunc(o.Restorations(), func(s state.Sysctl) bool {
		was := o.entries[s.Path]
		return was.Before != was.Ours
	})
}

// replaceFile writes a file beside the old one and puts it in its place.
func replaceFile(file string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	// What is renamed has to be on disk first, or a power cut leaves an empty file.
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
