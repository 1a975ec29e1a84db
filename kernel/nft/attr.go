package nft

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// nlaTypeMask leaves an attribute's type without NLA_F_NESTED and
// NLA_F_NET_BYTEORDER, which kernel and user space set differently.
const nlaTypeMask = 0x3fff

var errShort = errors.New("truncated netlink attribute")

// attr is one netlink attribute; data points into the buffer it was read from.
type attr struct {
	typ  uint16
	data []byte
}

// nextAttr splits the first attribute off b.
func nextAttr(b []byte) (a attr, rest []byte, err error) {
	if len(b) < unix.SizeofNlAttr {
		return attr{}, nil, errShort
	}
	n := int(binary.NativeEndian.Uint16(b))
	if n < unix.SizeofNlAttr || n > len(b) {
		return attr{}, nil, errShort
	}
	a = attr{binary.NativeEndian.Uint16(b[2:]) & nlaTypeMask, b[unix.SizeofNlAttr:n:n]}
	return a, b[min(align4(n), len(b)):], nil
}

// attrs is a list of attributes, in their order.
type attrs []attr

func parseAttrs(b []byte) (attrs, error) {
	var out attrs
	for len(b) > 0 {
		a, rest, err := nextAttr(b)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
		b = rest
	}
	return out, nil
}

func (as attrs) get(typ uint16) ([]byte, bool) {
	for _, a := range as {
		if a.typ == typ {
			return a.data, true
		}
	}
	return nil, false
}

// u32 is a big-endian number, as nf_tables has nearly all; 0 where it is absent.
func (as attrs) u32(typ uint16) uint32 {
	if b, ok := as.get(typ); ok && len(b) == 4 {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (as attrs) u64(typ uint16) uint64 {
	if b, ok := as.get(typ); ok && len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// str is a string without its final NUL.
func (as attrs) str(typ uint16) string {
	b, _ := as.get(typ)
	return cstring(b)
}

func (as attrs) nested(typ uint16) attrs {
	b, _ := as.get(typ)
	in, err := parseAttrs(b)
	if err != nil {
		return nil
	}
	return in
}

func cstring(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

func align4(n int) int { return (n + 3) &^ 3 }

// Encoding appends to a byte slice; open and close write nested attributes.

func putAttr(b []byte, typ uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, data...)
	return append(b, make([]byte, align4(len(data))-len(data))...)
}

func putString(b []byte, typ uint16, s string) []byte {
	return putAttr(b, typ, append([]byte(s), 0))
}

func putU32(b []byte, typ uint16, v uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, unix.SizeofNlAttr+4)
	b = binary.NativeEndian.AppendUint16(b, typ)
	return binary.BigEndian.AppendUint32(b, v)
}

func putU64(b []byte, typ uint16, v uint64) []byte {
	b = binary.NativeEndian.AppendUint16(b, unix.SizeofNlAttr+8)
	b = binary.NativeEndian.AppendUint16(b, typ)
	return binary.BigEndian.AppendUint64(b, v)
}

func openAttr(b []byte, typ uint16) ([]byte, int) {
	at := len(b)
	b = binary.NativeEndian.AppendUint16(b, 0)
	return binary.NativeEndian.AppendUint16(b, typ|unix.NLA_F_NESTED), at
}

func closeAttr(b []byte, at int) []byte {
	binary.NativeEndian.PutUint16(b[at:], uint16(len(b)-at))
	return b
}
