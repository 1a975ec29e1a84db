package monitor

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// Attrs gives the attributes of a message, types without the flags that share
// their field (NLA_F_NESTED). Where b is cut short it ends.
//
// It is plumb's own because the library's ParseRouteAttr panics where the last
// attribute is not padded, and allocates for each.
func Attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min((size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(b)):]
		}
	}
}

// Uint32 is the number in an attribute; 0 where there is none.
func Uint32(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}
