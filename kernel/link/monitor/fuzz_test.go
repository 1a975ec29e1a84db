package monitor

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Whatever the bytes, decoding ends, and stays within them.
func FuzzDecodeLink(f *testing.F) {
	f.Add([]byte{})
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(unix.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize()
	msg = append(msg, nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated("plb1")).Serialize()...)
	msg = append(msg, nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(1400)).Serialize()...)
	msg = append(msg, info.Serialize()...)
	f.Add(msg)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, ok, err := DecodeLink(data)
		if ok && (err != nil || l.Name == "") {
			t.Errorf("%v, %v", l, err)
		}
		if string(data) == string(msg) && (l.Kind != "veth" || l.MTU != 1400 || l.Name != "plb1") {
			t.Errorf("%v", l)
		}
	})
}
