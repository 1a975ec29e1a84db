package conntrack

import (
	"context"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/kernel/rtnl"
)

func open(t testing.TB) *rtnl.Socket {
	t.Helper()
	s, err := rtnl.OpenNetfilter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// writeTuple writes a tuple of UDP; without ports one of addresses alone, where
// those that are not valid are left out.
func writeTuple(e *rtnl.Encoder, typ uint16, src, dst netip.Addr, ports []byte) {
	tuple := e.Nest(typ | unix.NLA_F_NESTED)
	ip := e.Nest(ctaTupleIP | unix.NLA_F_NESTED)
	for i, a := range []netip.Addr{src, dst} {
		if a.Is4() {
			e.AttrAddr(uint16(1+i), a)
		} else if a.Is6() {
			e.AttrAddr(uint16(3+i), a)
		}
	}
	e.EndNest(ip)
	if ports != nil {
		proto := e.Nest(2 | unix.NLA_F_NESTED) // CTA_TUPLE_PROTO: number, source, destination
		e.Attr(1, []byte{unix.IPPROTO_UDP})
		e.Attr(2, ports[:2])
		e.Attr(3, ports[2:])
		e.EndNest(proto)
	}
	e.EndNest(tuple)
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// fill makes n flows from successive addresses to one.
func fill(t testing.TB, first string, n int) {
	t.Helper()
	a, dst := netip.MustParseAddr(first), netip.MustParseAddr("192.0.2.1")
	if a.Is6() {
		dst = netip.MustParseAddr("2001:db8::1")
	}
	b := open(t).Batch()
	b.Failed = func(_ int, err error) { t.Fatal(err) }
	for i := range n {
		e := b.Message(unix.NFNL_SUBSYS_CTNETLINK<<8, unix.NLM_F_CREATE|unix.NLM_F_EXCL, i)
		e.Bytes(family(a), 0, 0, 0)
		writeTuple(e, ctaTupleOrig, a, dst, []byte{16, 0, 0, 53})
		writeTuple(e, ctaTupleReply, dst, a, []byte{0, 53, 16, 0})
		e.Attr(7, []byte{0, 0, 2, 88}) // CTA_TIMEOUT, seconds
		a = a.Next()
	}
	b.Flush()
}

// filtered lists by the kernel's filter: the tuple that has the address as source
// (1) or destination (2).
func filtered(ctx context.Context, s *rtnl.Socket, tuple uint16, a netip.Addr, as uint32) (n int, err error) {
	err = s.Dump(ctx, msgGet, func(e *rtnl.Encoder) {
		e.Bytes(family(a), 0, 0, 0)
		if as == 1 {
			writeTuple(e, tuple, a, netip.Addr{}, nil)
		} else {
			writeTuple(e, tuple, netip.Addr{}, a, nil)
		}
		filter := e.Nest(25 | unix.NLA_F_NESTED) // CTA_FILTER: flags of each tuple
		e.AttrUint32(tuple, as)
		e.EndNest(filter)
	}, func(rtnl.Message) error { n++; return nil })
	return n, err
}

type byAddress netip.Addr

func (a byAddress) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	for _, ip := range [][]byte{f.Forward.SrcIP, f.Forward.DstIP, f.Reverse.SrcIP, f.Reverse.DstIP} {
		if got, ok := netip.AddrFromSlice(ip); ok && got.Unmap() == netip.Addr(a) {
			return true
		}
	}
	return false
}

// benchDelete takes an address out of a table with so many flows of others: with
// one dump, for one address, one of each family and a hundred; with the kernel's
// filter; with vishvananda/netlink; and with conntrack(8), of which one call does a
// quarter of the work.
func benchDelete(b *testing.B, others int) {
	nstest.RunBenchmark(b, func(b *testing.B) {
		ctx, v4, v6 := b.Context(), netip.MustParseAddr("10.244.1.5"), netip.MustParseAddr("fd00::5")
		hundred := make([]netip.Addr, 100)
		for i, a := 0, v4; i < len(hundred); i, a = i+1, a.Next() {
			hundred[i] = a
		}
		check := func(err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		s := open(b)
		fill(b, "11.0.0.0", others)
		for _, way := range []struct {
			unit string
			run  func()
		}{
			{"ms/1", func() { _, err := Delete(ctx, v4); check(err) }},
			{"ms/1+1", func() { _, err := Delete(ctx, v4, v6); check(err) }},
			{"ms/100", func() { _, err := Delete(ctx, hundred...); check(err) }},
			{"ms/1-filtered", func() {
				for _, tuple := range []uint16{ctaTupleOrig, ctaTupleReply} {
					for _, as := range []uint32{1, 2} {
						_, err := filtered(ctx, s, tuple, v4, as)
						check(err)
					}
				}
			}},
			{"ms/1-vishvananda", func() {
				_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, byAddress(v4))
				check(err)
			}},
			{"ms/quarter-conntrack", func() { _ = exec.Command("conntrack", "-D", "-s", v4.String()).Run() }},
		} {
			best := time.Hour
			for range 5 {
				fill(b, v4.String(), 1)
				start := time.Now()
				way.run()
				best = min(best, time.Since(start))
				_, err := Delete(ctx, v4)
				check(err)
			}
			b.ReportMetric(best.Seconds()*1000, way.unit)
		}
	})
}

func BenchmarkDeleteAmong1(b *testing.B)    { benchDelete(b, 1) }
func BenchmarkDeleteAmong100k(b *testing.B) { benchDelete(b, 100_000) }

// The reason why Delete does not trust the kernel's filter: of ten flows one
// matches. This logs what the kernel gives; once it is one, the comment on the
// package is history.
func TestWhatTheKernelsFilterGives(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		s := open(t)
		fill(t, "10.244.1.0", 10)
		fill(t, "fd00::", 10)
		for _, a := range addrs("10.244.1.5", "fd00::5") {
			n, err := filtered(t.Context(), s, ctaTupleOrig, a, 1)
			if err != nil {
				t.Error(err)
			}
			t.Logf("flows from %s: %d", a, n)
		}
	})
}
