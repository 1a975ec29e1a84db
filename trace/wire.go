package trace

import (
	"fmt"

	"github.com/plumbnet/plumb/trace/facts"
)

// wire is a device that the packet left by, and whom it was sent to.
type wire struct {
	place string
	dev   facts.Device
	to    *facts.Neighbour
}

// sameWire compares the two ends of a wire: what one sends must be what the other takes.
func (w *walker) sameWire(l *wire, d *facts.Device) bool {
	if l.to != nil && l.to.MAC != "" && d.MAC != "" && l.to.MAC != d.MAC {
		w.drop(fmt.Sprintf("%s sends to %s, and %s has %s: another device answers for %s, or an old entry was left", l.place, l.to.MAC, d.Name, d.MAC, l.to.Addr),
			fmt.Sprintf("look for a second owner of %s (arping), or on %s: ip neigh del %s dev %s", l.to.Addr, l.place, l.to.Addr, l.to.Dev))
		return false
	}
	if l.to != nil && !l.to.Known() && w.n.NotAsked == "" {
		w.drop(fmt.Sprintf("%s is not answered for on %s of %s (%s)", l.to.Addr, l.to.Dev, l.place, l.to.State),
			fmt.Sprintf("the device is there and up on this side: look at the wire between, and at ARP filters (sysctl arp_ignore, arp_filter) of %s; then on %s: ip neigh flush dev %s", d.Name, l.place, l.to.Dev))
		return false
	}
	if d.MTU == 0 || d.MTU >= l.dev.MTU || w.mtu != 0 && d.MTU >= w.mtu {
		return true
	}
	why := fmt.Sprintf("packets of more than %d bytes vanish: %s has mtu %d, and sends to %s with mtu %d", d.MTU, l.dev.Name+" of "+l.place, l.dev.MTU, d.Name, d.MTU)
	mend := fmt.Sprintf("give both ends the same: ip link set %s mtu %d; or a smaller settings.mtu in the file", d.Name, l.dev.MTU)
	if w.packet.Size > 0 && w.packet.Size <= d.MTU {
		w.warn("%s: %s; %s", w.hop.Place, why, mend)
		w.mark(Odd)
		w.mtu = d.MTU
		return true
	}
	w.drop(why, mend)
	return false
}
