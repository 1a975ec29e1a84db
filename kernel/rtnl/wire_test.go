package rtnl

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEncodedIsDecoded(t *testing.T) {
	var e Encoder
	e.Begin(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, 7)
	e.Bytes(1, 2, 3, 4)
	e.AttrAddr(unix.RTA_DST, netip.MustParseAddr("192.0.2.1"))
	e.Attr(unix.RTA_PREFSRC, []byte{9})
	at := e.Nest(unix.RTA_MULTIPATH)
	for i := range int32(2) {
		hop := e.Hop(unix.RTNH_F_ONLINK, i+5)
		e.AttrAddr(unix.RTA_GATEWAY, netip.MustParseAddr("2001:db8::1"))
		e.EndNest(hop)
	}
	e.EndNest(at)
	e.AttrUint32(unix.RTA_OIF, 77)
	e.End()
	e.Begin(unix.RTM_DELROUTE, 0, 8)
	e.End()

	m, rest, ok := NextMessage(e.buf)
	if !ok || m.Type != unix.RTM_NEWROUTE || m.Flags != unix.NLM_F_CREATE|unix.NLM_F_REQUEST || m.Seq != 7 {
		t.Fatalf("%+v", m)
	}
	b := m.Data[4:]
	var types []uint16
	for a, more, ok := NextAttr(b); ok; a, more, ok = NextAttr(more) {
		types = append(types, a.Type)
		switch a.Type {
		case unix.RTA_OIF:
			if a.Uint32() != 77 {
				t.Errorf("oif %d", a.Uint32())
			}
		case unix.RTA_MULTIPATH:
			n := int32(5)
			for h, more, ok := NextHop(a.Data); ok; h, more, ok = NextHop(more) {
				gw, _, ok := NextAttr(h.Attrs)
				if h.Index != n || h.Flags != unix.RTNH_F_ONLINK || !ok || len(gw.Data) != 16 {
					t.Errorf("hop %+v", h)
				}
				n++
			}
			if n != 7 {
				t.Errorf("%d hops", n-5)
			}
		}
	}
	if len(types) != 4 {
		t.Errorf("attributes %v", types)
	}
	if m, rest, ok = NextMessage(rest); !ok || m.Type != unix.RTM_DELROUTE || len(rest) != 0 {
		t.Errorf("%+v, %d left", m, len(rest))
	}
}

func TestParseError(t *testing.T) {
	header := make([]byte, headerLen)
	native.PutUint32(header, headerLen+4) // the request had four bytes of payload
	code := native.AppendUint32(nil, 0xffffffff-uint32(unix.ENETUNREACH)+1)
	var text Encoder
	text.Attr(unix.NLMSGERR_ATTR_MSG, []byte("Nexthop has invalid gateway\x00"))
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	const words = "network is unreachable: Nexthop has invalid gateway"
	for _, c := range []struct {
		name  string
		flags uint16
		data  []byte
		done  bool
		want  string
	}{
		{"acknowledgement", 0, join([]byte{0, 0, 0, 0}, header), false, ""},
		{"bare", unix.NLM_F_CAPPED, join(code, header), false, "network is unreachable"},
		{"capped", unix.NLM_F_CAPPED | unix.NLM_F_ACK_TLVS, join(code, header, text.buf), false, words},
		{"whole", unix.NLM_F_ACK_TLVS, join(code, header, []byte{1, 2, 3, 4}, text.buf), false, words},
		{"end of a dump", unix.NLM_F_ACK_TLVS, join(code, text.buf), true, words},
		{"end of an empty dump", 0, nil, true, ""},
		{"cut off", 0, nil, false, ErrMalformed.Error()},
		{"request cut off", unix.NLM_F_ACK_TLVS, code, false, "network is unreachable"},
		{"text cut off", unix.NLM_F_CAPPED | unix.NLM_F_ACK_TLVS, join(code, header, text.buf[:9]), false, "network is unreachable"},
	} {
		got := ""
		err := parseError(Message{Flags: c.flags, Data: c.data}, c.done)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if c.want != "" && !errors.Is(err, ErrMalformed) && !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("%s: no errno in %v", c.name, err)
		}
	}
}

// FuzzWalk: whatever comes, the walkers come to an end, stay within the bytes they
// were given, and never panic.
func FuzzWalk(f *testing.F) {
	f.Add([]byte{20, 0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0})
	f.Add([]byte{3, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 24, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for m, rest, ok := NextMessage(b); ok; m, rest, ok = NextMessage(rest) {
			n += headerLen + len(m.Data)
			_, _ = parseError(m, true), parseError(m, false)
			_, _, _ = LinkName(m)
			walkAttrs(t, m.Data, 0)
		}
		if n > len(b) {
			t.Fatalf("%d bytes out of %d", n, len(b))
		}
		d := dump{each: func(Message) error { return nil }}
		d.datagram(b)
		events(b, func(Message) {})
	})
}

func walkAttrs(t *testing.T, b []byte, depth int) {
	n := 0
	for a, rest, ok := NextAttr(b); ok; a, rest, ok = NextAttr(rest) {
		n += attrLen + len(a.Data)
		_, _ = a.Uint32(), a.String()
		if depth < 4 {
			walkAttrs(t, a.Data, depth+1)
		}
	}
	if n > len(b) {
		t.Fatalf("%d bytes out of %d", n, len(b))
	}
	for h, rest, ok := NextHop(b); ok; h, rest, ok = NextHop(rest) {
		if len(h.Attrs) > len(b) {
			t.Fatal("a hop longer than all")
		}
	}
}
