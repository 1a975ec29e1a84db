package sysctl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

func openOriginals(t *testing.T, file string) *Originals {
	t.Helper()
	o, err := OpenOriginals(file)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOriginalsPutBackWhatWasThere(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name tap0; ip link add tap1 type veth peer name p1")
		file := filepath.Join(t.TempDir(), "sysctls.json")
		const arp0, arp1 = "net/ipv4/conf/tap0/proxy_arp", "net/ipv4/conf/tap1/proxy_arp"
		echo(t, "net/ipv4/conf/tap0/rp_filter", "2")
		k := newKind(t)
		k.Originals = openOriginals(t, file)
		apply(t, k, append(ofHostEnd("tap0"), ofHostEnd("plb1")...)...)
		apply(t, k, state.Sysctl{Path: arp1, Value: "1"}, state.Sysctl{Path: ipForward, Value: "1"})

		// Another hand switches forwarding off, plumb on again: what was before
		// plumb is still what it was.
		echo(t, ipForward, "0")
		apply(t, k, state.Sysctl{Path: ipForward, Value: "1"})
		echo(t, "net/ipv4/conf/tap0/rp_filter", "0") // and stays so

		got := openOriginals(t, file).Restorations() // as another process would
		want := []state.Sysctl{
			{Path: ipForward, Value: "0"},
			{Path: arp0, Value: "0"},
			{Path: "net/ipv4/conf/tap0/forwarding", Value: "0"},
			{Path: arp1, Value: "0"},
			{Path: "net/ipv4/neigh/tap0/proxy_delay", Value: "80"},
			{Path: "net/ipv6/conf/tap0/accept_ra", Value: "1"},
			{Path: "net/ipv6/conf/tap0/forwarding", Value: "0"},
			{Path: "net/ipv6/conf/tap0/proxy_ndp", Value: "0"},
		}
		slices.SortFunc(want[1:], func(a, b state.Sysctl) int { return strings.Compare(a.Path, b.Path) })
		if !slices.Equal(got, want) {
			t.Errorf("to restore:\n%v\nwant\n%v", got, want)
		}

		nstest.Sh(t, "ip link del tap1")
		o := openOriginals(t, file)
		apply(t, newKind(t), got[:3]...)
		o.Forget(ipForward, "net/unknown")
		if err := o.Save(); err != nil {
			t.Fatal(err)
		}
		text := nstest.Sh(t, "cat "+file)
		if strings.Contains(text, "ip_forward") || strings.Contains(text, "tap1") || strings.Contains(text, "plb1") || !strings.Contains(text, arp0) {
			t.Errorf("the file is now:\n%s", text)
		}
	})
}

func TestWithoutADiskParametersAreSetAllTheSame(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name tap0")
		dir := filepath.Join(t.TempDir(), "missing")
		k := newKind(t)
		k.Originals = openOriginals(t, filepath.Join(dir, "sysctls.json"))
		const arp, own = "net/ipv4/conf/tap0/proxy_arp", "net/ipv4/conf/plb1/proxy_arp"
		apply(t, k, state.Sysctl{Path: own, Value: "1"})
		if err := k.Originals.Err(); err != nil {
			t.Errorf("plumb's own need not be put down: %v", err)
		}
		apply(t, k, state.Sysctl{Path: ipForward, Value: "1"}, state.Sysctl{Path: arp, Value: "1"})
		if got := read(t, k); got[ipForward] != "1" || got[arp] != "1" {
			t.Errorf("they are %v", got)
		}
		if err := k.Originals.Err(); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("it is not said which file cannot be written: %v", err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := k.Originals.Save(); err != nil || k.Originals.Err() != nil {
			t.Error(err, k.Originals.Err())
		}
		if got := openOriginals(t, filepath.Join(dir, "sysctls.json")).Restorations(); len(got) != 2 {
			t.Errorf("to restore: %v", got)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("left behind: %v", files)
		}
	})
}

func TestInterfacesThatLastAreRemembered(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name plb2")
		k := newKind(t)
		k.Originals = openOriginals(t, filepath.Join(t.TempDir(), "sysctls.json"))
		k.Lasts = func(dev string) bool { return dev == "plb1" }
		const one, two = "net/ipv4/conf/plb1/proxy_arp", "net/ipv4/conf/plb2/proxy_arp"
		apply(t, k, state.Sysctl{Path: one, Value: "1"}, state.Sysctl{Path: two, Value: "1"})
		if got := k.Originals.Restorations(); len(got) != 1 || got[0] != (state.Sysctl{Path: one, Value: "0"}) {
			t.Errorf("to restore: %v", got)
		}
	})
}

func TestOriginalsSayWhichFileIsCorrupt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sysctls.json")
	for _, text := range []string{"", "{", "[]", `{"a": 1}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenOriginals(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: error %v", text, err)
		}
	}
	if err := os.WriteFile(file, []byte("null"), 0o600); err != nil {
		t.Fatal(err)
	}
	openOriginals(t, file).Note("net/ipv4/ip_forward", "0", "1")
}
