package sysctl

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Whatever the bytes, decoding ends, and gives only files that there are.
func FuzzDecodeNetconf(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{unix.AF_INET6, 0, 0, 0}, nl.NewRtAttr(netconfProxyNeigh, nl.Uint32Attr(1)).Serialize()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeNetconf(data)
		for key := range c.values {
			if err != nil || key != "forwarding" && key != "rp_filter" && key != proxyNeigh(c.family) {
				t.Errorf("%v, %v", c, err)
			}
		}
	})
}
