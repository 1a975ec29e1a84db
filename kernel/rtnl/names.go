package rtnl

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Names translates between the names and the indices of network devices, in the
// namespace of its socket. It remembers by index what it found, and gives always
// the same string for a device, so that decoding many routes allocates none. It
// asks by SIOCGIFNAME and SIOCGIFINDEX (netdevice(7)): a microsecond a device,
// where a dump of a thousand links costs milliseconds. It serves one goroutine
// at a time.
type Names struct {
	s    *Socket
	name map[int32]string
	old  map[int32]string // strings from before Forget, to be used again
	last struct {
		index int32
		name  string
	}
}

// Names makes an empty translation that asks through s.
func (s *Socket) Names() *Names {
	return &Names{s: s, name: map[int32]string{}}
}

// Name is the name of the device with this index; false where there is none.
func (n *Names) Name(index int32) (string, bool) {
	if n.last.index == index && index != 0 { // most routes go the way of the one before
		return n.last.name, true
	}
	name, ok := n.name[index]
	if !ok {
		if name, ok = n.ask(index); !ok {
			return "", false
		}
		n.name[index] = name
	}
	n.last.index, n.last.name = index, name
	return name, true
}

func (n *Names) ask(index int32) (string, bool) {
	ifr, err := unix.NewIfreq("?")
	if err != nil || index <= 0 {
		return "", false
	}
	ifr.SetUint32(uint32(index))
	if unix.IoctlIfreq(n.s.fd, unix.SIOCGIFNAME, ifr) != nil {
		return "", false
	}
	name := ifr.Name()
	if old := n.old[index]; old == name {
		return old, true
	}
	return name, true
}

// Load remembers all devices there are, by one dump: for who wants to notice that
// one was renamed.
func (n *Names) Load(ctx context.Context) error {
	err := n.s.Dump(ctx, unix.RTM_GETLINK, func(e *Encoder) {
		var ifinfo [unix.SizeofIfInfomsg]byte
		e.Bytes(ifinfo[:]...)
		e.AttrUint32(unix.IFLA_EXT_MASK, skipStats)
	}, func(m Message) error {
		if index, name, ok := LinkName(m); ok {
			n.Set(index, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("links: %w", err)
	}
	return nil
}

// skipStats asks for links without counters, which are most of the work
// (RTEXT_FILTER_SKIP_STATS, include/uapi/linux/rtnetlink.h).
const skipStats = 1 << 3

// LinkName reads the index and the name out of RTM_NEWLINK and RTM_DELLINK; false
// where it is no whole message about a device as such (a bridge's port is not).
func LinkName(m Message) (index int32, name string, ok bool) {
	b := m.Data
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return 0, "", false
	}
	index = int32(native.Uint32(b[4:]))
	for a, rest, ok := NextAttr(b[unix.SizeofIfInfomsg:]); ok; a, rest, ok = NextAttr(rest) {
		if a.Type == unix.IFLA_IFNAME {
			return index, a.String(), true
		}
	}
	return index, "", false
}

// Index asks the kernel, every time, for the index of the device with this name:
// a device that was deleted and made again has another.
func (n *Names) Index(name string) (int32, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil || name == "" {
		return 0, unix.ENODEV // a name that no device can have
	}
	if err := unix.IoctlIfreq(n.s.fd, unix.SIOCGIFINDEX, ifr); err != nil {
		if errors.Is(err, unix.ENXIO) {
			err = unix.ENODEV
		}
		return 0, err
	}
	return int32(ifr.Uint32()), nil
}

// Known is the name that is remembered for index, without asking.
func (n *Names) Known(index int32) (string, bool) {
	name, ok := n.name[index]
	return name, ok
}

// Set remembers what an event said: index has this name.
func (n *Names) Set(index int32, name string) {
	if n.old[index] == name {
		name = n.old[index]
	}
	n.name[index] = name
	n.last.index = 0
}

// Drop forgets one device.
func (n *Names) Drop(index int32) {
	delete(n.name, index)
	n.last.index = 0
}

// Forget forgets all devices, since they may have been renamed or deleted.
func (n *Names) Forget() {
	n.old, n.name = n.name, make(map[int32]string, len(n.name))
	n.last.index = 0
}
