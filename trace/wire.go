package trace

import (
	"cmp"
	"fmt"

	"github.com/plumbnet/plumb/trace/facts"
)

// wire is a device that the packet left by, and whom it was sent to.
type wire struct {
	place  string
	dev    facts.Device
	to     *facts.Neighbour
	header int    // what a tunnel adds to the packet on this wire, in bytes
	within string // what a command at the far end starts with, in a pod
}

// sameWire compares the two ends of a wire: what one sends must be what the other takes.
func (w *walker) sameWire(l *wire, d *facts.Device) bool {
	if l.to != nil && l.to.MAC != "" && hasMAC(d) && l.to.MAC != d.MAC {
		mend := fmt.Sprintf("on %s: ip neigh del %s dev %s", l.place, l.to.Addr, l.to.Dev)
		if l.to.State != "PERMANENT" {
			mend = fmt.Sprintf("look for a second owner of %s (arping), or %s", l.to.Addr, mend)
		}
		w.drop(fmt.Sprintf("%s sends to %s, and %s has %s: another device answers for %s, or an old entry was left", l.place, l.to.MAC, d.Name, d.MAC, l.to.Addr), mend)
		return false
	}
	if l.to != nil && !l.to.Known() && w.n.NotAsked == "" {
		w.drop(fmt.Sprintf("%s is not answered for on %s of %s (%s)", l.to.Addr, l.to.Dev, l.place, l.to.State),
			fmt.Sprintf("the device is there and up on this side: look at the wire between, and at ARP filters (sysctl arp_ignore, arp_filter) of %s; then on %s: ip neigh flush dev %s", d.Name, l.place, l.to.Dev))
		return false
	}
	return w.wideEnough(l, d)
}

// hasMAC: an address on the loopback device is answered for by another.
func hasMAC(d *facts.Device) bool { return d.MAC != "" && d.MAC != "00:00:00:00:00:00" }

// wideEnough: a device drops what is larger than its own MTU, and tells nobody.
func (w *walker) wideEnough(l *wire, d *facts.Device) bool {
	fits := d.MTU - l.header
	if d.MTU == 0 || d.MTU >= l.dev.MTU || w.mtu != 0 && fits >= w.mtu {
		return true
	}
	why := fmt.Sprintf("packets of more than %d bytes vanish: %s has mtu %d, and sends to %s with mtu %d", fits, l.dev.Name+" of "+l.place, l.dev.MTU, d.Name, d.MTU)
	if l.header > 0 {
		why += fmt.Sprintf(", of which the tunnel's header takes %d", l.header)
	}
	mend := fmt.Sprintf("give both ends the same: %sip link set %s mtu %d; or a smaller settings.mtu in the file", l.within, d.Name, l.dev.MTU)
	if w.packet.Size > 0 && w.packet.Size <= fits {
		w.warn("%s: %s; %s", w.hop.Place, why, mend)
		w.mark(Odd)
		w.mtu = fits
		return true
	}
	w.drop(why, mend)
	return false
}

// stands says whether a device takes packets at all.
func (w *walker) stands(d *facts.Device) bool {
	switch {
	case !d.Up:
		w.drop("device "+d.Name+" is down", "ip link set "+d.Name+" up")
	case !d.Carrier:
		w.drop("device "+d.Name+" has no carrier", "look at the other end of its cable, or veth")
	default:
		return true
	}
	return false
}

// below is the wire that a tunnel's packet leaves by, where its other end is on that.
func (w *walker) below() *wire {
	t := w.n.Tunnel
	if t.Out == nil || t.Out.Missing || cmp.Or(t.Lookup.Via.Gateway, t.Outer.Dst) != t.Outer.Dst {
		return nil
	}
	return &wire{place: w.hop.Place, dev: *t.Out, to: t.Neighbour, header: overhead(w.n.Out, t.Outer)}
}
