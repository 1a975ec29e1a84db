package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nft"
	"github.com/plumbnet/plumb/kernel/route"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

var (
	ctx    = context.Background()
	source = reconcile.Source{Rank: 2, ID: "node"}
)

// uplink makes a pair of devices, with a neighbour that is a next hop.
func uplink(b *testing.B) {
	b.Helper()
	sh(b, `ip link del up0 2>/dev/null || true
		ip link add up0 type veth peer name up1
		ip addr add 10.99.0.1/16 dev up0; ip link set up0 up; ip link set up1 up; ip link set lo up`)
	b.Cleanup(func() { sh(b, "ip link del up0") })
}

var hop = state.NextHop{Gateway: netip.MustParseAddr("10.99.0.2"), Dev: "up0"}

// routes gives n routes to /26es through the uplink.
func routes(n int) []render.Wanted {
	out := make([]render.Wanted, n)
	for i := range out {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0b000000+uint32(i)*64)
		r := state.NewRoute(netip.PrefixFrom(netip.AddrFrom4(a), 26), state.TableMain, state.ProtoPlumb, hop)
		out[i] = render.Wanted{Object: r, Origin: "plumb.yaml:1"}
	}
	return out
}

func objects(wanted []render.Wanted) []state.Object {
	out := make([]state.Object, len(wanted))
	for i, w := range wanted {
		out[i] = w.Object
	}
	return out
}

// routeEngine makes an engine of routes alone.
func routeEngine(b *testing.B) *reconcile.Engine {
	b.Helper()
	k, err := route.New(state.TableMain)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = k.Close() })
	return reconcile.NewEngine(reconcile.KindOf(k, false, state.KindRoute))
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func turn(b *testing.B, e *reconcile.Engine, want int) {
	b.Helper()
	done, failures := e.Turn(ctx)
	if len(failures) > 0 || len(done) != want {
		b.Fatalf("%d changes made, %d wanted; failures: %v", len(done), want, failures)
	}
}

func BenchmarkApplyRoutes(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("%dk", n/1000), func(b *testing.B) {
			uplink(b)
			wanted := routes(n)
			batch := file(b, "batch", render.IP(objects(wanted)))
			compare(b, row{what: fmt.Sprintf("apply %dk routes", n/1000), peer: "ip -batch", aim: "0.3"},
				func() time.Duration {
					e := routeEngine(b)
					must(b, e.SetSource(source, wanted))
					must(b, e.Read(ctx))
					d := timed(func() { turn(b, e, n) })
					sh(b, "ip route flush proto 112")
					return d
				},
				func() time.Duration {
					d := timed(func() { sh(b, "ip -batch %s", batch) })
					sh(b, "ip route flush proto 112")
					return d
				})
		})
	}
}

func BenchmarkFullReadNoOpDiff(b *testing.B) {
	const n = 100_000
	uplink(b)
	e := routeEngine(b)
	must(b, e.SetSource(source, routes(n)))
	must(b, e.Read(ctx))
	turn(b, e, n)
	compare(b, row{what: "full read and no-op diff of 100k routes", peer: "ip route show table all", aim: "0.7"},
		func() time.Duration {
			return timed(func() {
				must(b, e.Read(ctx))
				if p := e.Plan(); !p.Empty() {
					b.Fatal(p.Summary())
				}
			})
		},
		func() time.Duration {
			return timed(func() { sh(b, "ip route show table all >/dev/null") })
		})
}

// BenchmarkOneChange changes one route back and forth, among few and among many.
func BenchmarkOneChange(b *testing.B) {
	uplink(b)
	engines := map[int]func() time.Duration{}
	for _, n := range []int{100, 100_000} {
		e := routeEngine(b)
		must(b, e.SetSource(source, routes(n)))
		must(b, e.Read(ctx))
		e.Turn(ctx)
		one := reconcile.Source{Rank: 1, ID: "one"}
		var a, c []render.Wanted
		for i, w := range []*[]render.Wanted{&a, &c} {
			h := state.NextHop{Gateway: netip.AddrFrom4([4]byte{10, 99, 0, byte(3 + i)}), Dev: "up0"}
			*w = []render.Wanted{{Object: state.NewRoute(netip.MustParsePrefix("10.1.0.0/16"), state.TableMain, state.ProtoPlumb, h)}}
		}
		must(b, e.SetSource(one, a))
		e.Turn(ctx)
		engines[n] = func() time.Duration {
			const times = 200
			return timed(func() {
				for i := range times {
					if i%2 == 0 {
						must(b, e.SetSource(one, c))
					} else {
						must(b, e.SetSource(one, a))
					}
					turn(b, e, 1)
				}
			}) / times
		}
	}
	compare(b, row{what: "one change among 100k routes", peer: "among 100", aim: "2"}, engines[100_000], engines[100])
}

func BenchmarkSetOfPrefixes(b *testing.B) {
	const n = 100_000
	wanted := []render.Wanted{{Object: state.Table{}}, {Object: state.Set{Name: "masq4", Type: "ipv4_addr"}}}
	for i := range n {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0b000000+uint32(i)*128)
		p := netip.PrefixFrom(netip.AddrFrom4(a), 26) // none touches the next
		wanted = append(wanted, render.Wanted{Object: state.Element{Set: "masq4", From: p.Addr(), To: state.LastAddr(p)}})
	}
	script := file(b, "nft", strings.Replace(render.NFT(objects(wanted)), "delete table inet plumb\n", "", 1))
	compare(b, row{what: "set of 100k prefixes", peer: "nft -f", aim: "0.5"},
		func() time.Duration {
			k, err := nft.New()
			must(b, err)
			defer k.Close()
			e := reconcile.NewEngine(reconcile.KindOf(k, true,
				state.KindTable, state.KindSet, state.KindChain, state.KindRule, state.KindElement))
			must(b, e.SetSource(source, wanted))
			must(b, e.Read(ctx))
			d := timed(func() { turn(b, e, len(wanted)) })
			sh(b, "nft flush ruleset")
			return d
		},
		func() time.Duration {
			d := timed(func() { sh(b, "nft -f %s", script) })
			sh(b, "nft flush ruleset")
			return d
		})
}
