package host

import (
	"syscall"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
)

// link makes a link message.
func link(msgType uint16, index int32, name string) []monitor.Message {
	head := nl.NewIfInfomsg(unix.AF_UNSPEC)
	head.Index = index
	data := append(head.Serialize(), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)).Serialize()...)
	return []monitor.Message{{Header: syscall.NlMsghdr{Type: msgType}, Data: data}}
}

// Whatever the bytes, decoding gives an address or an error.
func FuzzDecodeAddress(f *testing.F) {
	f.Add([]byte{})
	head := nl.NewIfAddrmsg(unix.AF_INET)
	f.Add(append(head.Serialize(), nl.NewRtAttr(unix.IFA_LOCAL, []byte{10, 0, 0, 1}).Serialize()...))
	f.Add(append(head.Serialize(), 9, 0, unix.IFA_LABEL, 0, 'l', 'o', 0, 0, 0)) // not padded
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := decodeAddress(data); err != nil && a.prefix.IsValid() {
			t.Error("an address and an error")
		}
	})
}
