package route

import (
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// Routes with plumb's protocols that other hands made, with what plumb never
// makes: seen, never equal to a wanted one, and deleted or replaced exactly.
func TestOddRoutes(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		plain, plain6 := route("10.1.0.0/24", 112, "10.99.0.2 d0"), route("fd01::/64", 112, "fd99::2 d0")
		for _, c := range []struct {
			name, make, shows string
			want              state.Route
		}{
			{"unreachable", "ip route add unreachable 10.1.0.0/24 proto 112", "route unreachable 10.1.0.0/24", plain},
			{"prohibit", "ip route add prohibit 10.1.0.0/24 proto 112", "route prohibit 10.1.0.0/24", plain},
			{"throw6", "ip route add throw fd01::/64 proto 112", "throw fd01::/64", plain6},
			{"local", "ip route add local 10.1.0.0/24 dev d0 proto 112 table main", "scope host", plain},
			{"tos", "ip route add 10.1.0.0/24 tos 0x10 via 10.99.0.2 proto 112", "tos 0x10", plain},
			{"tos beside", "ip route add 10.1.0.0/24 tos 0x10 via 10.99.0.2 proto 112; ip route add 10.1.0.0/24 via 10.99.0.2 proto 112", "tos 0x10", plain},
			{"nhid", "ip nexthop add id 7 via 10.99.0.2 dev d0; ip route add 10.1.0.0/24 nhid 7 proto 112", "nhid 7", plain},
			{"nhid6", "ip nexthop add id 7 via fd99::2 dev d0; ip -6 route add fd01::/64 nhid 7 proto 112", "nhid 7", plain6},
			{"nhgroup", "ip nexthop add id 7 via 10.99.0.2 dev d0; ip nexthop add id 8 via 10.98.0.2 dev d1; ip nexthop add id 9 group 7/8; ip route add 10.1.0.0/24 nhid 9 proto 112", "nhid 9", plain},
			{"realm", "ip route add 10.1.0.0/24 via 10.99.0.2 proto 112 realm 5", "", plain},
			{"advmss", "ip route add 10.1.0.0/24 via 10.99.0.2 proto 112 advmss 1200", "metric8 1200", plain},
			{"advmss6", "ip route add fd01::/64 via fd99::2 proto 112 advmss 1200", "metric8 1200", plain6},
			{"mtu lock", "ip route add 10.1.0.0/24 via 10.99.0.2 proto 112 mtu lock 1200", "lock", plain},
			{"weights", "ip route add 10.1.0.0/24 proto 112 nexthop via 10.99.0.2 weight 3 nexthop via 10.98.0.2", "weight 3", plain},
			{"expires6", "ip route add fd01::/64 via fd99::2 proto 112 expires 1000", "expires", plain6},
			{"pref6", "ip route add fd01::/64 via fd99::2 proto 112 pref high", "pref", plain6},
			{"prepended", "ip route add 10.1.0.0/24 via 10.99.0.2 proto 112; ip route prepend 10.1.0.0/24 via 10.99.0.5 proto 112", "duplicate", plain},
			{"appended", "ip route add 10.1.0.0/24 via 10.99.0.2 proto 112; ip route append 10.1.0.0/24 via 10.99.0.5 proto 112", "duplicate", plain},
			{"two devices6", "ip route add fd01::/64 dev d0 proto 112; ip route append fd01::/64 dev d1 proto 112", "duplicate", plain6},
			{"tunnelled", "ip route add 10.1.0.0/24 encap ip id 7 dst 192.0.2.1 via 10.99.0.2 proto 112", "encap", plain},
		} {
			t.Run(c.name, func(t *testing.T) {
				// what is beside, in the same slots or not, is not touched
				nstest.Sh(t, "ip route replace 10.1.0.0/24 via 10.99.0.2 metric 9 proto static; ip -6 route replace fd01::/64 via fd99::2 metric 9 proto static; "+
					"ip route replace 10.1.0.0/24 tos 8 via 10.99.0.2 proto static")
				before := everything(t)
				for _, replace := range []bool{false, true} {
					nstest.Sh(t, c.make)
					seen := map[state.Key]state.Route{} // as the engine keeps them
					for _, r := range read(t, k) {
						seen[r.Key()] = r
					}
					got, ok := seen[c.want.Key()]
					if len(seen) != 1 || !ok || got == c.want && c.shows != "" || !strings.Contains(lines(got), c.shows) {
						t.Fatalf("seen %v", seen)
					}
					if replace && got != c.want {
						must(t, k, mod(got, c.want))
						expect(t, k, c.want)
						got = c.want
					}
					must(t, k, del(got))
					expect(t, k)
					if now := everything(t); now != before {
						t.Fatalf("before\n%s\nnow\n%s", before, now)
					}
					if strings.Contains(c.make, "nexthop add") {
						nstest.Sh(t, "ip nexthop flush")
					}
				}
			})
		}
	})
}
