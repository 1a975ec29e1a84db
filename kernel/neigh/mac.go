package neigh

import (
	"fmt"
	"net"
)

const digits = "0123456789abcdef"

// formatMAC prints a link-layer address as ip(8) does: lower case, with colons.
// Devices that are no Ethernet have some of other lengths.
func formatMAC(b []byte) string {
	var buf [3 * 32]byte
	out := buf[:0]
	for i, c := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// parseMAC reads an Ethernet address; of a longer one the kernel would take the
// first six bytes without a word (neigh_add, net/core/neighbour.c).
func parseMAC(s string) ([]byte, error) {
	b, err := net.ParseMAC(s)
	if err != nil || len(b) != 6 || formatMAC(b) != s {
		return nil, fmt.Errorf("%q is no MAC address in lower case with colons", s)
	}
	return b, nil
}
