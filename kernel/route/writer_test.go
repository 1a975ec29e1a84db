package route

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

func TestWriter(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `
			ip link add plb1 type veth peer name p1
			ip link set plb1 up
			ip link set p1 up
			ip route add 11.0.0.9 dev plb1 proto static`)
		w, err := NewWriter(state.TableMain)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		changes := make([]state.Change[state.Route], 3)
		for i, dst := range []string{"11.0.0.1/32", "fd00::1/128", "11.0.0.9/32"} {
			changes[i] = state.Change[state.Route]{
				Action: state.Add,
				After:  state.NewRoute(netip.MustParsePrefix(dst), state.TableMain, state.ProtoPlumb, state.NextHop{Dev: "plb1"}),
			}
		}
		for range 2 { // what is there already is done
			errs := w.Apply(t.Context(), changes)
			var conflict *state.ConflictError
			if errs[0] != nil || errs[1] != nil || !errors.As(errs[2], &conflict) {
				t.Errorf("%v", errs)
			}
		}
		got := nstest.Sh(t, "ip route show proto 112; ip -6 route show proto 112")
		if want := "11.0.0.1 dev plb1 scope link \nfd00::1 dev plb1 metric 1024 pref medium"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := nstest.Sh(t, "ip route show 11.0.0.9"); !strings.Contains(got, "proto static") {
			t.Errorf("another's route is %q", got)
		}
	})
}
