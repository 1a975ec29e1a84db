// Package endpoint keeps the records of a node's endpoints: one JSON file each,
// written by whoever wires the endpoint, read by the agent.
package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/plumbnet/plumb/state"
)

// Store is a directory of records. The zero value is not usable: give Dir, which
// is endpoints/ in the state directory.
type Store struct{ Dir string }

const suffix = ".json"

// path escapes the ID, which holds a slash, into one file name.
func (s Store) path(id string) string {
	return filepath.Join(s.Dir, url.PathEscape(id)+suffix)
}

// Put writes a record, in place of one with the same ID. A reader sees the old
// record or the new one, never a part.
func (s Store) Put(e state.Endpoint) error {
	if e.ID == "" {
		return errors.New("endpoint record without an ID")
	}
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", e.ID, err)
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return fmt.Errorf("endpoint %s: %w", e.ID, err)
	}
	if err := WriteFile(s.path(e.ID), append(b, '\n')); err != nil {
		return fmt.Errorf("endpoint %s: %w", e.ID, err)
	}
	return nil
}

// Delete removes a record, and what a writer that was killed left of one; that
// there is none is no error.
func (s Store) Delete(id string) error {
	if err := errors.Join(Remove(s.path(id)), Remove(temporary(s.path(id)))); err != nil {
		return fmt.Errorf("endpoint %s: %w", id, err)
	}
	return nil
}

// Remove removes a file. That it is not there is no error, nor that it cannot be:
// its name is too long for one, or the file system is read-only besides.
func Remove(path string) error {
	err := os.Remove(path)
	if err == nil || errors.Is(err, syscall.ENAMETOOLONG) {
		return nil
	}
	if _, notThere := os.Lstat(path); errors.Is(notThere, fs.ErrNotExist) {
		return nil
	}
	return err
}

// List reads every record, in the order of file names. A record that cannot be
// read gives an error and does not stop the others; a directory that is not
// there holds none.
func (s Store) List() ([]state.Endpoint, []error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, []error{fmt.Errorf("endpoint records: %w", err)}
	}
	var list []state.Endpoint
	var errs []error
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, suffix) || strings.HasPrefix(name, ".") {
			continue
		}
		e, err := read(filepath.Join(s.Dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			list = append(list, e)
		}
	}
	return list, errs
}

// ID gives the ID of the record that a file of the store's directory holds; not
// ok where it is none.
func (s Store) ID(path string) (id string, ok bool) {
	dir, name := filepath.Split(path)
	if filepath.Clean(dir) != filepath.Clean(s.Dir) || strings.HasPrefix(name, ".") || !strings.HasSuffix(name, suffix) {
		return "", false
	}
	id, err := url.PathUnescape(strings.TrimSuffix(name, suffix))
	return id, err == nil
}

// Get reads one record; fs.ErrNotExist where there is none.
func (s Store) Get(id string) (state.Endpoint, error) { return read(s.path(id)) }

func read(path string) (state.Endpoint, error) {
	var e state.Endpoint
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return e, fmt.Errorf("endpoint record %s: it is no regular file", path) // to open it might block
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return e, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, fmt.Errorf("endpoint record %s: %w", path, err)
	}
	if e.ID == "" || e.Interface == "" {
		return e, fmt.Errorf("endpoint record %s: it has no ID or no interface", path)
	}
	return e, nil
}

// temporary is where a file is written before it has its name. It begins with a
// dot, so that no reader of the directory takes it for a record, and is always the
// same one, so that writers that are killed leave one at most.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

// WriteFile writes a file atomically: a temporary one beside it is renamed. A file
// has one writer at a time. It is not synced: what a power cut loses, it loses
// together with the endpoints themselves.
func WriteFile(path string, data []byte) error {
	f, err := os.OpenFile(temporary(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
