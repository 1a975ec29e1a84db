package address

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// create makes the file of an address in use; false where there is one.
func (s Store) create(o Owner, a netip.Addr) (bool, error) {
	f, err := os.OpenFile(s.path(a), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	_, err = f.WriteString(o.content())
	if err = errors.Join(err, f.Close()); err != nil {
		return false, errors.Join(err, os.Remove(f.Name()))
	}
	return true, nil
}

// noteLast writes down the address after which the next search starts. It writes
// over what is there: a file that is emptied first is put on the disk when it is
// closed (ext4(5), auto_da_alloc), which takes longer than all else. A plugin that
// is killed in between leaves an odd address, or none; then the search starts
// elsewhere.
func (s Store) noteLast(a netip.Addr, rangeID string) error {
	f, err := os.OpenFile(filepath.Join(s.Dir, "last_reserved_ip."+rangeID), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	n, err := f.WriteString(a.String())
	if err == nil {
		err = f.Truncate(int64(n))
	}
	return errors.Join(err, f.Close())
}
