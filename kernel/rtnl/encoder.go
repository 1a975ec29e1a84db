package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// native is the byte order of netlink's headers and most attributes.
var native = binary.NativeEndian

const (
	headerLen = unix.SizeofNlMsghdr
	attrLen   = unix.SizeofRtAttr
)

// align rounds up to netlink's boundary of four bytes (NLMSG_ALIGN).
func align(n int) int { return (n + 3) &^ 3 }

// Encoder appends netlink messages to a buffer. A message is Begin, the family's
// header as Bytes, attributes, End. The zero value is ready.
type Encoder struct {
	buf   []byte
	start int
}

// Begin starts a message: its type (RTM_NEWROUTE…), its flags (NLM_F_REQUEST is
// added) and its sequence number.
func (e *Encoder) Begin(typ, flags uint16, seq uint32) {
	e.start = len(e.buf)
	e.buf = append(e.buf, 0, 0, 0, 0)
	e.buf = native.AppendUint16(e.buf, typ)
	e.buf = native.AppendUint16(e.buf, flags|unix.NLM_F_REQUEST)
	e.buf = native.AppendUint32(e.buf, seq)
	e.buf = append(e.buf, 0, 0, 0, 0) // port 0: the kernel knows whose socket it is
}

// End completes the message that Begin started.
func (e *Encoder) End() {
	native.PutUint32(e.buf[e.start:], uint32(len(e.buf)-e.start))
}

// Bytes appends b as it is: the header that follows netlink's own.
func (e *Encoder) Bytes(b ...byte) { e.buf = append(e.buf, b...) }

// Uint32 appends v in the machine's byte order.
func (e *Encoder) Uint32(v uint32) { e.buf = native.AppendUint32(e.buf, v) }

// Attr appends an attribute.
func (e *Encoder) Attr(typ uint16, value []byte) {
	at := e.Nest(typ)
	e.buf = append(e.buf, value...)
	e.EndNest(at)
}

// AttrUint32 appends an attribute in the machine's byte order.
func (e *Encoder) AttrUint32(typ uint16, v uint32) {
	e.buf = native.AppendUint16(e.buf, attrLen+4)
	e.buf = native.AppendUint16(e.buf, typ)
	e.buf = native.AppendUint32(e.buf, v)
}

// AttrAddr appends an address of 4 or 16 bytes.
func (e *Encoder) AttrAddr(typ uint16, a netip.Addr) {
	at := e.Nest(typ)
	e.Addr(a)
	e.EndNest(at)
}

// Addr appends the bytes of an address, without an attribute around them.
func (e *Encoder) Addr(a netip.Addr) {
	if a.Is4() {
		b := a.As4()
		e.buf = append(e.buf, b[:]...)
		return
	}
	b := a.As16()
	e.buf = append(e.buf, b[:]...)
}

// Nest starts an attribute whose value is what is appended until EndNest is
// called with the position that Nest gives.
func (e *Encoder) Nest(typ uint16) int {
	at := len(e.buf)
	e.buf = append(e.buf, 0, 0)
	e.buf = native.AppendUint16(e.buf, typ)
	return at
}

// EndNest sets the length of the attribute that began at position at, and pads.
func (e *Encoder) EndNest(at int) {
	native.PutUint16(e.buf[at:], uint16(len(e.buf)-at))
	for len(e.buf)%4 != 0 {
		e.buf = append(e.buf, 0)
	}
}

// Hop starts a next hop (struct rtnexthop) within RTA_MULTIPATH; attributes may
// follow, then EndNest with the position that Hop gives.
func (e *Encoder) Hop(flags uint8, index int32) int {
	at := len(e.buf)
	e.buf = append(e.buf, 0, 0, flags, 0)
	e.buf = native.AppendUint32(e.buf, uint32(index))
	return at
}

// Uint16 appends v in the machine's byte order.
func (e *Encoder) Uint16(v uint16) { e.buf = native.AppendUint16(e.buf, v) }
