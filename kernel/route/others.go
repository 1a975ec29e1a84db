package route

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Others tells of the routes in the main table that are not plumb's: by them next
// hops are reached, and their prefixes are taken. It serves one goroutine at a
// time; what Watch calls comes from another.
type Others struct {
	sock    *rtnl.Socket
	asking  *rtnl.Socket // the watcher's own, to ask for names
	monitor *rtnl.Monitor
	decoder *decoder
}

// OpenOthers opens the sockets, on the calling thread and so in its network
// namespace. What k changes gives no event.
func OpenOthers(k *Kind) (*Others, error) {
	o := &Others{}
	var err error
	if o.sock, err = rtnl.Open(); err != nil {
		return nil, err
	}
	if o.asking, err = rtnl.Open(); err != nil {
		return nil, errors.Join(err, o.sock.Close())
	}
	if o.monitor, err = rtnl.OpenMonitor(k.sock); err != nil {
		return nil, errors.Join(err, o.sock.Close(), o.asking.Close())
	}
	o.decoder = newDecoder(o.sock.Names())
	return o, nil
}

// Close ends a watch that is in progress and closes the sockets.
func (o *Others) Close() error {
	return errors.Join(o.monitor.Close(), o.sock.Close(), o.asking.Close())
}

// Read gives the routes of the main table that are of other protocols than plumb's,
// of any type, in the kernel's order. What state.Route cannot hold is put in words
// in front of Multipath.
func (o *Others) Read(ctx context.Context) ([]state.Route, error) {
	o.decoder.forget()
	var out []state.Route
	var r state.Route
	for _, fam := range [...]byte{unix.AF_INET, unix.AF_INET6} {
		err := o.sock.Dump(ctx, unix.RTM_GETROUTE, func(e *rtnl.Encoder) {
			e.Bytes(fam, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
			e.AttrUint32(unix.RTA_TABLE, state.TableMain)
		}, func(m rtnl.Message) error {
			h, _, ok := readHeader(m.Data)
			if m.Type == unix.RTM_NEWROUTE && ok && !ours(h.protocol) && o.decoder.decode(m.Data, &r) {
				out = append(out, r)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("routes of others: %w", err)
		}
	}
	return out, nil
}

// Watch subscribes, returns, and from then on until ctx ends calls changed with the
// prefixes of routes of others that came, changed or went, and again where routes may
// have gone without a word, as they do with their device or its address.
func (o *Others) Watch(ctx context.Context, changed func([]netip.Prefix), again func()) error {
	w := &othersWatch{decoder: newDecoder(o.asking.Names()), changed: changed, again: again}
	err := o.monitor.Run(ctx, []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_IFADDR,
	}, rtnl.Handler{Event: w.event, Pause: w.pause, Lost: func() { w.reread = true; w.pause() }})
	if err != nil {
		return fmt.Errorf("watch routes of others: %w", err)
	}
	return nil
}

// othersWatch is one Watch in progress; all of it runs on the monitor's goroutine.
type othersWatch struct {
	decoder *decoder
	changed func([]netip.Prefix)
	again   func()

	prefixes []netip.Prefix
	reread   bool
	route    state.Route // decoded last
}

func (w *othersWatch) pause() {
	if len(w.prefixes) > 0 {
		w.changed(w.prefixes)
		w.prefixes = nil // the receiver may keep them
	}
	if w.reread {
		w.reread = false
		w.again()
	}
}

func (w *othersWatch) event(m rtnl.Message) {
	switch m.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		h, _, ok := readHeader(m.Data)
		switch {
		case !ok:
			w.reread = true
		case ours(h.protocol):
		default:
			w.prefix(m.Data)
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		w.linkEvent(m)
	case unix.RTM_DELADDR:
		w.reread = true // with its last address a device loses its routes (fib_del_ifaddr)
	}
}

// prefix notes the prefix of a route in the main table.
func (w *othersWatch) prefix(data []byte) {
	w.decoder.forget()
	if w.decoder.decode(data, &w.route) {
		if a := w.route.Dst.Addr(); w.route.Table == state.TableMain && !a.IsLinkLocalUnicast() && !a.IsMulticast() {
			w.prefixes = append(w.prefixes, w.route.Dst)
		}
		return
	}
	w.reread = true // it went with its device
}

// linkEvent: a device that goes down or away takes its routes along. Those of pods
// have none but plumb's.
func (w *othersWatch) linkEvent(m rtnl.Message) {
	_, name, ok := rtnl.LinkName(m)
	if !ok || strings.HasPrefix(name, state.HostEndPrefix) {
		return
	}
	flags, change := binary.NativeEndian.Uint32(m.Data[8:]), binary.NativeEndian.Uint32(m.Data[12:])
	down := change != allChanged && change&unix.IFF_UP != 0 && flags&unix.IFF_UP == 0
	w.reread = w.reread || down || m.Type == unix.RTM_DELLINK
}
