package sysctl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/state"
)

// Attributes of RTM_NEWNETCONF and the interface numbers that stand for all and
// for the default (include/uapi/linux/netconf.h).
const (
	netconfIfindex    = 1
	netconfForwarding = 2
	netconfRPFilter   = 3
	netconfProxyNeigh = 5

	ifindexAll     = -1
	ifindexDefault = -2
)

// sizeofNetconfmsg is struct netconfmsg, one byte of family, padded.
const sizeofNetconfmsg = 4

// Watch reports changes of tracked parameters. The kernel announces those of
// forwarding, rp_filter, proxy_arp and proxy_ndp (RTNLGRP_IPV4_NETCONF and
// RTNLGRP_IPV6_NETCONF; net/ipv4/devinet.c, net/ipv6/addrconf.c), and with the
// value, so that Apply's own changes are no news to whoever knows what it wrote.
// Others, such as proxy_delay and accept_ra, it changes in silence: only Read
// finds those. When an interface appears, disappears or changes its name, all
// that is tracked of it is reported, present or gone.
func (k *Kind) Watch(ctx context.Context, changed func([]state.Event[state.Sysctl]), again func()) error {
	w := &watcher{kind: k, files: files{root: k.files.root}, names: map[int]string{}}
	err := monitor.Watch(ctx, monitor.Listener{
		Start: func() error {
			links, err := k.conn.Links()
			w.reset(links)
			return err
		},
		Messages: func(msgs []monitor.Message) {
			for _, m := range msgs {
				w.message(m)
			}
			if len(w.events) > 0 {
				changed(w.events)
				w.events = nil
			}
		},
		Lost: again,
	}, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return fmt.Errorf("watching sysctls: %w", err)
	}
	return nil
}

// watcher turns messages into events. It knows the interfaces' names, which
// NETCONF messages do not bear.
type watcher struct {
	kind   *Kind
	files  files // Kind's is in other hands
	names  map[int]string
	events []state.Event[state.Sysctl]
}

func (w *watcher) reset(links []monitor.Link) {
	w.names = make(map[int]string, len(links)+2)
	w.names[ifindexAll], w.names[ifindexDefault] = "all", "default"
	for _, l := range links {
		w.names[l.Index] = l.Name
	}
}

func (w *watcher) message(m monitor.Message) {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if l, ok, err := monitor.DecodeLink(m.Data); ok && err == nil {
			w.link(l, m.Header.Type == unix.RTM_DELLINK)
		}
	case unix.RTM_NEWNETCONF:
		if c, err := decodeNetconf(m.Data); err == nil {
			w.netconf(c)
		}
	case unix.RTM_DELNETCONF: // the family left the interface: an MTU below 1280 does
		if c, err := decodeNetconf(m.Data); err == nil {
			w.gone(w.names[c.ifindex], c.family)
		}
	}
}

// link keeps the names. Under an old name all is gone, even if its files are
// still there for a moment: a rename is announced before they move (and once
// more, by RTM_NEWNETCONF, when they have).
func (w *watcher) link(l monitor.Link, gone bool) {
	old, known := w.names[l.Index]
	if known && !gone && old == l.Name {
		return
	}
	delete(w.names, l.Index)
	if known {
		w.gone(old, unix.AF_UNSPEC)
	}
	if !gone {
		w.names[l.Index] = l.Name
		w.recheck(l.Name)
	}
}

// recheck reports all that is tracked of an interface as it is now. This may be
// ahead of messages that are still to come; the last of those says the same.
func (w *watcher) recheck(dev string) {
	for _, p := range w.pathsOf(dev) {
		v, err := w.files.read(p)
		switch {
		case err == nil:
			w.add(p, v)
		case missing(err):
			w.addGone(p)
		}
	}
}

// gone reports what is tracked of an interface in one family, or in all, as gone.
func (w *watcher) gone(dev string, family uint8) {
	for _, p := range w.pathsOf(dev) {
		if of, _, _ := device(p); family == unix.AF_UNSPEC || family == of {
			w.addGone(p)
		}
	}
}

func (w *watcher) pathsOf(dev string) []string {
	if dev == "" {
		return nil
	}
	w.kind.mu.Lock()
	defer w.kind.mu.Unlock()
	return slices.Collect(maps.Keys(w.kind.tracked[dev]))
}

// netconf reports what one message says. A change comes as a message with that
// one value; one with all of them says that the interface's parameters were made
// anew, those without a value in the message too.
func (w *watcher) netconf(c netconf) {
	dev := w.names[c.ifindex]
	if len(c.values) > 1 {
		w.recheck(dev)
		return
	}
	for key, value := range c.values {
		if dev != "" {
			w.addTracked(c.conf(dev, key), value)
		}
		if c.ifindex == ifindexAll && c.family == unix.AF_INET && key == "forwarding" {
			w.addTracked(ipForward, value)
		}
	}
}

func (w *watcher) addTracked(path, value string) {
	w.kind.mu.Lock()
	known := w.kind.tracked.has(path)
	w.kind.mu.Unlock()
	if known {
		w.add(path, value)
	}
}

func (w *watcher) add(path, value string) {
	s := state.Sysctl{Path: path, Value: value}
	w.events = append(w.events, state.Event[state.Sysctl]{Key: s.Key(), Object: s})
}

func (w *watcher) addGone(path string) {
	w.events = append(w.events, state.Event[state.Sysctl]{Key: state.Sysctl{Path: path}.Key(), Gone: true})
}

// netconf is a message of RTM_NEWNETCONF: the values by the names of their files.
type netconf struct {
	family  uint8
	ifindex int
	values  map[string]string
}

// conf is the path of a parameter of an interface.
func (c netconf) conf(dev, key string) string {
	if c.family == unix.AF_INET6 {
		return "net/ipv6/conf/" + dev + "/" + key
	}
	return "net/ipv4/conf/" + dev + "/" + key
}

func decodeNetconf(data []byte) (netconf, error) {
	if len(data) < sizeofNetconfmsg {
		return netconf{}, fmt.Errorf("netconf message of %d bytes: %w", len(data), unix.EBADMSG)
	}
	c := netconf{family: data[0], values: map[string]string{}}
	if c.family != unix.AF_INET && c.family != unix.AF_INET6 {
		return c, nil // MPLS
	}
	for kind, value := range monitor.Attrs(data[sizeofNetconfmsg:]) {
		v := int32(monitor.Uint32(value)) // -1 and -2 among them
		switch kind {
		case netconfIfindex:
			c.ifindex = int(v)
		case netconfForwarding:
			c.values["forwarding"] = strconv.Itoa(int(v))
		case netconfRPFilter:
			c.values["rp_filter"] = strconv.Itoa(int(v))
		case netconfProxyNeigh:
			c.values[proxyNeigh(c.family)] = strconv.Itoa(int(v))
		}
	}
	return c, nil
}

// proxyNeigh is the file behind NETCONFA_PROXY_NEIGH.
func proxyNeigh(family uint8) string {
	if family == unix.AF_INET6 {
		return "proxy_ndp"
	}
	return "proxy_arp"
}
