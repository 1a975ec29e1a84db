package rtnl

import "golang.org/x/sys/unix"

// Message is one message of a datagram. Data is what follows netlink's header:
// the family's header and the attributes; it is valid until the next read.
type Message struct {
	Type, Flags uint16
	Seq, Port   uint32
	Data        []byte
}

// NextMessage takes the first message off b. ok is false at the end, and where
// what is left is no whole message; then rest is what was left.
func NextMessage(b []byte) (m Message, rest []byte, ok bool) {
	if len(b) < headerLen {
		return m, b, false
	}
	n := int64(native.Uint32(b))
	if n < headerLen || n > int64(len(b)) {
		return m, b, false
	}
	m = Message{
		Type: native.Uint16(b[4:]), Flags: native.Uint16(b[6:]),
		Seq: native.Uint32(b[8:]), Port: native.Uint32(b[12:]),
		Data: b[headerLen:n:n],
	}
	return m, b[min(align(int(n)), len(b)):], true
}

// Attr is one attribute. Type comes without the flags for nesting and byte order.
type Attr struct {
	Type uint16
	Data []byte
}

// NextAttr takes the first attribute off b; ok is false at the end, and where
// what is left is no whole attribute.
func NextAttr(b []byte) (a Attr, rest []byte, ok bool) {
	if len(b) < attrLen {
		return a, b, false
	}
	n := int(native.Uint16(b))
	if n < attrLen || n > len(b) {
		return a, b, false
	}
	a = Attr{native.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER), b[attrLen:n:n]}
	return a, b[min(align(n), len(b)):], true
}

// Uint32 reads a number in the machine's byte order; 0 where there are not four bytes.
func (a Attr) Uint32() uint32 {
	if len(a.Data) < 4 {
		return 0
	}
	return native.Uint32(a.Data)
}

// String reads a text that ends with a zero byte or with the attribute.
func (a Attr) String() string {
	for i, c := range a.Data {
		if c == 0 {
			return string(a.Data[:i])
		}
	}
	return string(a.Data)
}

// Hop is a next hop of RTA_MULTIPATH (struct rtnexthop).
type Hop struct {
	Flags, Weight uint8 // the weight less one
	Index         int32
	Attrs         []byte
}

// NextHop takes the first next hop off b, as NextAttr does with attributes.
func NextHop(b []byte) (h Hop, rest []byte, ok bool) {
	if len(b) < unix.SizeofRtNexthop {
		return h, b, false
	}
	n := int(native.Uint16(b))
	if n < unix.SizeofRtNexthop || n > len(b) {
		return h, b, false
	}
	h = Hop{b[2], b[3], int32(native.Uint32(b[4:])), b[unix.SizeofRtNexthop:n:n]}
	return h, b[min(align(n), len(b)):], true
}
