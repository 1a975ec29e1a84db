// Package attachment keeps the journal of attachments: which of them were begun
// on this node, for which network, and which addresses each holds. An entry is
// written before anything else is done for an attachment and is the last thing
// to go, so whatever a plugin that was killed left behind can be found by it.
package attachment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/plumbnet/plumb/state/endpoint"
)

// Entry is what is known about an attachment.
type Entry struct {
	// Network is the name of the network configuration; empty where the entry
	// cannot be read, as after a power cut.
	Network string `json:"network"`
	// Addresses are those that it holds. Where Known is not set they are not
	// known: the plugin may have ended between reserving one and noting it.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Known     bool         `json:"known,omitempty"`
}

// Journal is a directory with one file an attachment. Nothing is synced: names
// are what matters, and journaling file systems keep the order in which they
// were made, so an address file never outlives a power cut without its entry.
type Journal struct{ Dir string }

// ID names an attachment: CONTAINER/IFNAME, as an endpoint's record does.
func ID(containerID, ifName string) string { return containerID + "/" + ifName }

func (j Journal) path(id string) string { return filepath.Join(j.Dir, url.PathEscape(id)) }

// Begin makes an entry whose addresses are not known; fs.ErrExist where there is
// one already.
func (j Journal) Begin(id, network string) error {
	f, err := os.OpenFile(j.path(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(j.Dir, 0o755); err == nil {
			f, err = os.OpenFile(j.path(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		}
	}
	if err != nil {
		return err
	}
	if err := write(f, Entry{Network: network}); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Note writes down the addresses of an attachment that was begun.
func (j Journal) Note(id, network string, addresses []netip.Addr) error {
	f, err := os.OpenFile(j.path(id), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// Longer than what was there, and one write: a reader finds the old entry,
	// the new one, or one that it cannot read and takes for not known.
	return write(f, Entry{Network: network, Addresses: addresses, Known: true})
}

func write(f *os.File, e Entry) error {
	b, err := json.Marshal(e)
	if err == nil {
		_, err = f.Write(append(b, '\n'))
	}
	return errors.Join(err, f.Close())
}

// Get reads an entry; fs.ErrNotExist where there is none.
func (j Journal) Get(id string) (Entry, error) {
	b, err := os.ReadFile(j.path(id))
	if errors.Is(err, syscall.ENAMETOOLONG) {
		return Entry{}, fs.ErrNotExist // such an entry was never made
	} else if err != nil {
		return Entry{}, err
	}
	var e Entry
	if err := json.Unmarshal(b, &e); err != nil {
		e = Entry{} // torn
	}
	return e, nil
}

// Remove removes an entry; that there is none is no error.
func (j Journal) Remove(id string) error { return endpoint.Remove(j.path(id)) }

// All reads every entry, by ID. A directory that is not there has none.
func (j Journal) All() (map[string]Entry, error) {
	files, err := os.ReadDir(j.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := make(map[string]Entry, len(files))
	for _, f := range files {
		id, err := url.PathUnescape(f.Name())
		if err != nil {
			continue // not a name of ours
		}
		e, err := j.Get(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		} else if err != nil {
			return nil, fmt.Errorf("attachment %s: %w", id, err)
		}
		all[id] = e
	}
	return all, nil
}
