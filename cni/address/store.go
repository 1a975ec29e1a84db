// Package address hands out the addresses of the node's podCIDRs, on the
// allocator and the disk format of the host-local plugin: one file an address,
// and a freed address comes round again only after all others.
package address

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/disk"
)

// Owner is who holds an address.
type Owner struct{ ContainerID, IfName string }

// Store is a directory of addresses in use.
type Store struct{ Dir string }

// Absent says that there is no lock, and so no address: nothing else is written
// without it.
func (s Store) Absent() bool {
	_, err := os.Stat(filepath.Join(s.Dir, lockName))
	return errors.Is(err, fs.ErrNotExist)
}

// content is what host-local writes into an address's file.
func (o Owner) content() string { return strings.TrimSpace(o.ContainerID) + disk.LineBreak + o.IfName }

func (s Store) path(a netip.Addr) string {
	// As net.IP prints it, which is what the disk store names the file by.
	return filepath.Join(s.Dir, a.Unmap().String())
}

// Owner gives the owner of an address; fs.ErrNotExist where it is free. An owner
// without a container ID is one that cannot be read.
func (s Store) Owner(a netip.Addr) (Owner, error) {
	b, err := os.ReadFile(s.path(a))
	if err != nil {
		return Owner{}, err
	}
	id, ifName, _ := strings.Cut(strings.TrimSpace(string(b)), disk.LineBreak)
	return Owner{id, ifName}, nil
}

// Release frees those of the addresses that the owner holds, or nobody.
func (l *Locked) Release(o Owner, addresses ...netip.Addr) error {
	var errs []error
	for _, a := range addresses {
		holder, err := l.Owner(a)
		if err == nil && (holder == (Owner{}) || holder.content() == o.content()) {
			err = os.Remove(l.path(a))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("free address %s: %w", a, err))
		}
	}
	return errors.Join(errs...)
}

// All gives every address in use and its owner. A directory that is not there
// has none.
func (s Store) All() (map[netip.Addr]Owner, error) {
	addresses, err := s.list()
	if err != nil {
		return nil, err
	}
	all := make(map[netip.Addr]Owner, len(addresses))
	for _, a := range addresses {
		o, err := s.Owner(a)
		if errors.Is(err, fs.ErrNotExist) {
			continue // freed meanwhile
		} else if err != nil {
			return nil, err
		}
		all[a] = o
	}
	return all, nil
}

// Held gives the addresses that the owner holds, and those that nobody does: a file
// without a name in it is one whose writer was killed. It reads every file: it is
// for when the journal does not know.
func (l *Locked) Held(o Owner) ([]netip.Addr, error) {
	all, err := l.All()
	if err != nil {
		return nil, err
	}
	var held []netip.Addr
	for a, holder := range all {
		if holder == (Owner{}) || holder.content() == o.content() {
			held = append(held, a)
		}
	}
	return held, nil
}

// list gives the addresses in use; other files (the lock, the last address that
// was handed out) have no address for a name.
func (s Store) list() ([]netip.Addr, error) {
	files, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []netip.Addr
	for _, f := range files {
		if a, err := netip.ParseAddr(f.Name()); err == nil {
			out = append(out, a)
		}
	}
	return out, nil
}
