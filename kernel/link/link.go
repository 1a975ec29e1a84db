// Package link keeps the network devices that plumb owns: the host ends of pods'
// veths, and the tunnel devices. It reads them, puts their MAC address, their MTU
// and their administrative state right, deletes them, and watches them. Tunnel
// devices it makes; a host end comes into being together with its pod's end, by
// the CNI plugin.
package link

import (
	"context"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/state"
)

// Owned says whether a device of this name is plumb's: the name is the mark.
func Owned(name string) bool {
	return strings.HasPrefix(name, state.HostEndPrefix) || state.IsTunnel(name)
}

// Kind reads, changes and watches plumb's devices in one network namespace.
type Kind struct {
	conn *monitor.Conn
}

// New opens the kind's socket in the network namespace of the calling thread.
func New() (*Kind, error) {
	conn, err := monitor.Dial()
	if err != nil {
		return nil, fmt.Errorf("links: %w", err)
	}
	return &Kind{conn}, nil
}

// Close closes the socket. Watches end with their context.
func (k *Kind) Close() { k.conn.Close() }

// Read gives every device with one of plumb's names, of whatever type it is.
func (k *Kind) Read(ctx context.Context, yield func(state.Link)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	links, err := k.conn.Links()
	if err != nil {
		return err
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Index] = l.Name
	}
	for _, l := range links {
		if Owned(l.Name) {
			yield(toState(l, func(index int) string { return nameOf(names, index) }))
		}
	}
	return nil
}

// nameOf is the name of a tunnel's parent; 0 is none. One that is not known, which
// is the parent of no device of plumb's, is named by its index, as ip(8) does.
func nameOf(names map[int]string, index int) string {
	name, known := names[index]
	if !known && index != 0 {
		return fmt.Sprintf("if%d", index)
	}
	return name
}

// Watch reports what becomes of plumb's devices, from RTNLGRP_LINK. Changes that
// Apply makes are reported like those of others: an event carries the device as
// it is, so that to whoever knows what Apply wrote it is no news. A device that
// is renamed is gone under its old name.
func (k *Kind) Watch(ctx context.Context, changed func([]state.Event[state.Link]), again func()) error {
	w := &watcher{names: map[int]string{}}
	err := monitor.Watch(ctx, monitor.Listener{
		Start: func() error {
			links, err := k.conn.Links()
			w.reset(links)
			return err
		},
		Messages: func(msgs []monitor.Message) {
			if events := w.events(msgs); len(events) > 0 {
				changed(events)
			}
		},
		Lost: again,
	}, unix.RTNLGRP_LINK)
	if err != nil {
		return fmt.Errorf("watching links: %w", err)
	}
	return nil
}

// watcher knows the names under which devices were last seen: plumb's own, and
// those that may be the parents of its tunnels.
type watcher struct {
	names map[int]string // by index
}

func (w *watcher) reset(links []monitor.Link) {
	clear(w.names)
	for _, l := range links {
		w.names[l.Index] = l.Name
	}
}

func (w *watcher) events(msgs []monitor.Message) []state.Event[state.Link] {
	var events []state.Event[state.Link]
	for _, m := range msgs {
		l, ok, err := monitor.DecodeLink(m.Data)
		if err != nil || !ok {
			continue
		}
		old, known := w.names[l.Index]
		gone := m.Header.Type == unix.RTM_DELLINK
		if known && (gone || old != l.Name) {
			delete(w.names, l.Index)
			if Owned(old) {
				events = append(events, state.Event[state.Link]{Key: state.Link{Name: old}.Key(), Gone: true})
			}
		}
		if gone {
			continue
		}
		w.names[l.Index] = l.Name
		if Owned(l.Name) {
			o := toState(l, func(index int) string { return nameOf(w.names, index) })
			events = append(events, state.Event[state.Link]{Key: o.Key(), Object: o})
		}
	}
	return events
}

// toState gives a device in the vocabulary. A tunnel without an Ethernet header
// has no MAC: its IFLA_ADDRESS is an IP address.
func toState(l monitor.Link, name func(int) string) state.Link {
	o := state.Link{Name: l.Name, Type: l.Kind, Up: l.Up, Tunnel: decodeTunnel(l, name)}
	if len(l.MAC) == 6 {
		o.MAC = net.HardwareAddr(l.MAC).String()
	}
	if makes(l.Kind) {
		o.MTU = uint32(l.MTU)
	}
	return o
}
