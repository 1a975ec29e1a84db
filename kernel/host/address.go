package host

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
)

// address is what an RTM_NEWADDR or RTM_DELADDR message says.
type address struct {
	index  int
	prefix netip.Prefix // not masked; not valid for another family
}

// decodeAddress reads the data of an address message. On a point-to-point link
// IFA_ADDRESS is the other end and IFA_LOCAL one's own; elsewhere IPv4 gives
// both, the same, and IPv6 IFA_ADDRESS alone (include/uapi/linux/if_addr.h).
func decodeAddress(data []byte) (address, error) {
	if len(data) < unix.SizeofIfAddrmsg {
		return address{}, fmt.Errorf("address message of %d bytes: %w", len(data), unix.EBADMSG)
	}
	head := nl.DeserializeIfAddrmsg(data)
	var local, other netip.Addr
	for kind, value := range monitor.Attrs(data[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS:
			other, _ = netip.AddrFromSlice(value)
		}
	}
	if !local.IsValid() {
		local = other
	}
	return address{int(head.Index), netip.PrefixFrom(local, int(head.Prefixlen))}, nil
}

// comparePrefixes orders addresses: IPv4 first, then by address and length.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
