package neigh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// FDB reads, changes and watches the forwarding entries of VXLAN devices: which
// tunnel's end has which MAC address. Every entry of an owned device is plumb's.
type FDB struct {
	devices []string
	sock    *rtnl.Socket
	asking  *rtnl.Socket // the watcher's own, to ask for names
	monitor *rtnl.Monitor
}

// NewFDB opens the sockets, on the calling thread and so in its network namespace,
// for the devices of these names.
func NewFDB(devices ...string) (*FDB, error) {
	k := &FDB{devices: devices}
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
	return k, nil
}

// Close ends a watch that is in progress and closes the sockets.
func (k *FDB) Close() error {
	return errors.Join(k.monitor.Close(), k.sock.Close(), k.asking.Close())
}

func (k *FDB) owned(dev string) bool {
	for _, d := range k.devices {
		if d == dev {
			return true
		}
	}
	return false
}

// Read yields every entry of the owned devices. Each device is dumped for itself:
// without the filter the kernel would give every bridge's table too
// (rtnl_fdb_dump, net/core/rtnetlink.c).
func (k *FDB) Read(ctx context.Context, yield func(state.FDB)) error {
	names := k.sock.Names()
	for _, dev := range k.devices {
		index, err := names.Index(dev)
		if errors.Is(err, unix.ENODEV) {
			continue
		}
		if err == nil {
			err = k.dump(ctx, index, dev, yield)
		}
		if err != nil {
			return fmt.Errorf("forwarding entries of %s: %w", dev, err)
		}
	}
	return nil
}

func (k *FDB) dump(ctx context.Context, index int32, dev string, yield func(state.FDB)) error {
	err := k.sock.Dump(ctx, unix.RTM_GETNEIGH, func(e *rtnl.Encoder) {
		e.Bytes(unix.AF_BRIDGE, 0, 0, 0)
		e.Uint32(uint32(index))
		e.Uint32(0)
	}, func(m rtnl.Message) error {
		if i, entry, ok := decodeFDB(m.Data); ok && i == index {
			entry.Dev = dev
			yield(entry)
		}
		return nil
	})
	if errors.Is(err, unix.ENODEV) { // it went meanwhile, and its entries with it
		return nil
	}
	return err
}

// decodeFDB reads struct ndmsg (rtnetlink(7)) and its attributes; false where it is
// malformed or no entry that leads to a tunnel's end.
func decodeFDB(b []byte) (index int32, entry state.FDB, ok bool) {
	if len(b) < unix.SizeofNdMsg || b[0] != unix.AF_BRIDGE {
		return 0, entry, false
	}
	index = int32(binary.NativeEndian.Uint32(b[4:]))
	var odd []string
	// bridge(8) calls it permanent where NUD_PERMANENT is set, static where NUD_NOARP
	// is; an entry with neither ages.
	switch s := binary.NativeEndian.Uint16(b[8:]); {
	case s&unix.NUD_PERMANENT != 0:
	case s&unix.NUD_NOARP != 0:
		odd = append(odd, "static")
	default:
		odd = append(odd, "dynamic")
	}
	if b[10]&unix.NTF_ROUTER != 0 {
		odd = append(odd, "router")
	}
	for a, rest, more := rtnl.NextAttr(b[unix.SizeofNdMsg:]); more; a, rest, more = rtnl.NextAttr(rest) {
		switch a.Type {
		case unix.NDA_LLADDR:
			entry.MAC = formatMAC(a.Data)
		case unix.NDA_MASTER:
			return 0, entry, false // of a bridge that the device is in
		case unix.NDA_DST:
			entry.Dst, _ = netip.AddrFromSlice(a.Data)
		case unix.NDA_PORT:
			if len(a.Data) >= 2 {
				odd = append(odd, "port "+strconv.Itoa(int(binary.BigEndian.Uint16(a.Data))))
			}
		case unix.NDA_VNI:
			odd = append(odd, "vni "+strconv.FormatUint(uint64(a.Uint32()), 10))
		case unix.NDA_IFINDEX:
			odd = append(odd, "via if"+strconv.FormatUint(uint64(a.Uint32()), 10))
		case ndaNHID:
			odd = append(odd, nhid+" "+strconv.FormatUint(uint64(a.Uint32()), 10))
		}
	}
	entry.Odd = strings.Join(odd, " ")
	return index, entry, len(entry.MAC) == len("00:00:00:00:00:00")
}

// ndaNHID is NDA_NH_ID (include/uapi/linux/neighbour.h), a group of next hops.
const (
	ndaNHID = 13
	nhid    = "nhid"
)
