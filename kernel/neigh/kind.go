// Package neigh keeps permanent neighbour entries, of IPv4 and IPv6, on the
// devices that plumb owns: there every permanent entry is plumb's, since the
// kernel gives an entry no other mark that plumb could set.
package neigh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Kind reads, changes and watches the entries. Read and Apply are called from one
// goroutine at a time; what Watch calls comes from another.
type Kind struct {
	owned   func(dev string) bool
	sock    *rtnl.Socket
	asking  *rtnl.Socket // the watcher's own, to ask for names
	monitor *rtnl.Monitor
	decoder *decoder
}

// New opens the sockets, on the calling thread and so in its network namespace.
// owned says which devices are plumb's, by their names; it is called from Watch's
// goroutine too.
func New(owned func(dev string) bool) (*Kind, error) {
	k := &Kind{owned: owned}
	var err error
	if k.sock, err = rtnl.Open(); err != nil {
		return nil, err
	}
	if k.asking, err = rtnl.Open(); err != nil {
		return nil, errors.Join(err, k.sock.Close())
	}
	if k.monitor, err = rtnl.OpenMonitor(k.sock); err != nil {
		return nil, errors.Join(err, k.sock.Close(), k.asking.Close())
	}
	k.decoder = &decoder{names: k.sock.Names(), owned: owned}
	return k, nil
}

// Close ends a watch that is in progress and closes the sockets.
func (k *Kind) Close() error {
	return errors.Join(k.monitor.Close(), k.sock.Close(), k.asking.Close())
}

// Read yields every permanent entry on the owned devices. The kernel has no filter
// for the state of an entry (neigh_valid_dump_req, net/core/neighbour.c).
func (k *Kind) Read(ctx context.Context, yield func(state.Neigh)) error {
	k.decoder.names.Forget()
	for _, family := range [...]byte{unix.AF_INET, unix.AF_INET6} {
		err := k.sock.Dump(ctx, unix.RTM_GETNEIGH, func(e *rtnl.Encoder) {
			e.Bytes(family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		}, func(m rtnl.Message) error {
			if n, permanent, ok := k.decoder.decode(m.Data); ok && permanent {
				yield(n)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("neighbours: %w", err)
		}
	}
	return nil
}

// decoder turns messages into entries.
type decoder struct {
	names *rtnl.Names
	owned func(string) bool
}

// decode reads struct ndmsg (rtnetlink(7)) and its attributes; false where it is
// malformed, of another family (a bridge's forwarding entry), a proxy entry, or on
// a device that is not owned or no more. Entries that are not permanent may come
// without a MAC address.
func (d *decoder) decode(b []byte) (n state.Neigh, permanent, ok bool) {
	if len(b) < unix.SizeofNdMsg || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 || b[10]&unix.NTF_PROXY != 0 {
		return n, false, false
	}
	permanent = binary.NativeEndian.Uint16(b[8:])&unix.NUD_PERMANENT != 0
	if n.Dev, ok = d.names.Name(int32(binary.NativeEndian.Uint32(b[4:]))); !ok || !d.owned(n.Dev) {
		return n, false, false
	}
	for a, rest, ok := rtnl.NextAttr(b[unix.SizeofNdMsg:]); ok; a, rest, ok = rtnl.NextAttr(rest) {
		switch a.Type {
		case unix.NDA_DST:
			if b[0] == unix.AF_INET && len(a.Data) == 4 || b[0] == unix.AF_INET6 && len(a.Data) == 16 {
				n.Addr, _ = netip.AddrFromSlice(a.Data)
			}
		case unix.NDA_LLADDR:
			n.MAC = formatMAC(a.Data)
		}
	}
	return n, permanent, n.Addr.IsValid()
}
