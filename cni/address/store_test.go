package address

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func owner(n int) Owner { return Owner{fmt.Sprint("container", n), "eth0"} }

func locked(t *testing.T, dir string) *Locked {
	t.Helper()
	l, err := Store{Dir: dir}.Lock(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func allocate(t *testing.T, s *Locked, o Owner, cidrs ...string) string {
	t.Helper()
	a, err := s.Allocate(o, prefixes(cidrs...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a.String()
}

func TestEveryAddressIsHandedOutOnce(t *testing.T) {
	for _, tc := range []struct {
		cidrs []string
		want  string
	}{
		// Not the first, which is the tunnel's, and not IPv4's broadcast address.
		{[]string{"10.244.1.0/29"}, "10.244.1.1 10.244.1.2 10.244.1.3 10.244.1.4 10.244.1.5 10.244.1.6"},
		{[]string{"fd00::/126"}, "fd00::1 fd00::2 fd00::3"},
		{[]string{"10.244.1.0/30", "10.244.9.0/30"}, "10.244.1.1 10.244.1.2 10.244.9.1 10.244.9.2"},
	} {
		s := locked(t, filepath.Join(t.TempDir(), "addresses"))
		want := strings.Fields(tc.want)
		var got []string
		for i := range want {
			got = append(got, allocate(t, s, owner(i), tc.cidrs...))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", tc.cidrs, got, want)
		}
		_, err := s.Allocate(owner(99), prefixes(tc.cidrs...), nil)
		var e *ExhaustedError
		if !errors.As(err, &e) || e.InUse != len(want) {
			t.Errorf("%v: after the last: %v", tc.cidrs, err)
		}
		size, used, err := s.Usage(prefixes(tc.cidrs...), nil)
		if err != nil || int(size) != len(want) || used != len(want) {
			t.Errorf("%v: usage %v of %v, %v", tc.cidrs, used, size, err)
		}
	}
}

func TestAFreedAddressComesRoundLast(t *testing.T) {
	s := locked(t, t.TempDir())
	first := allocate(t, s, owner(1), "10.244.1.0/29")
	if err := s.Release(owner(1), netip.MustParseAddr(first)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if got := allocate(t, s, owner(i), "10.244.1.0/29"); got == first {
			t.Fatalf("%s came again after %d others", first, i)
		}
	}
	if got := allocate(t, s, owner(9), "10.244.1.0/29"); got != first {
		t.Errorf("got %s, want %s, the only one left", got, first)
	}
}

func TestAnAddressThatIsAskedFor(t *testing.T) {
	s := locked(t, t.TempDir())
	five := netip.MustParseAddr("10.244.1.5")
	if err := s.Reserve(owner(1), five, nil); err != nil {
		t.Fatal(err)
	}
	for what, taken := range map[string]map[netip.Addr]string{
		"container container1": nil, "endpoint db-vm": {five: "endpoint db-vm"},
	} {
		var e *TakenError
		if err := s.Reserve(owner(2), five, taken); !errors.As(err, &e) || e.By != what {
			t.Errorf("a second time: %v, want that %s has it", err, what)
		}
	}
	if got := allocate(t, s, owner(3), "10.244.1.0/24"); got != "10.244.1.1" {
		t.Errorf("the next address is %s: one that was asked for moved the search", got)
	}
}

func TestWhatTheFileGivesAwayIsPassedOver(t *testing.T) {
	s := locked(t, t.TempDir())
	taken := map[netip.Addr]string{netip.MustParseAddr("10.244.1.1"): "endpoint db-vm"}
	cidrs := prefixes("10.244.1.0/30")
	a, err := s.Allocate(owner(1), cidrs, taken)
	if err != nil || a.String() != "10.244.1.2" {
		t.Fatal(a, err)
	}
	_, err = s.Allocate(owner(2), cidrs, taken)
	if err == nil || err.Error() != "no address is left in 10.244.1.0/30: 2 are in use" {
		t.Error(err)
	}
}

func TestOnlyTheOwnerFrees(t *testing.T) {
	s := locked(t, t.TempDir())
	a := netip.MustParseAddr(allocate(t, s, owner(1), "10.244.1.0/24"))
	if err := s.Release(Owner{"container1", "eth1"}, a); err != nil {
		t.Fatal(err)
	}
	if o, err := s.Owner(a); err != nil || o != owner(1) {
		t.Fatalf("after another's release: %v, %v", o, err)
	}
	if held, err := s.Held(owner(1)); err != nil || !slices.Equal(held, []netip.Addr{a}) {
		t.Fatal(held, err)
	}
	for range 2 { // the second finds nothing, which is fine
		if err := s.Release(owner(1), a); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Owner(a); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestAPrefixThatIsTooSmall(t *testing.T) {
	s := locked(t, t.TempDir())
	for _, cidr := range []string{"10.244.1.4/31", "fd00::4/128"} {
		if _, err := s.Allocate(owner(1), prefixes(cidr), nil); err == nil || !strings.Contains(err.Error(), cidr) {
			t.Errorf("%s: %v", cidr, err)
		}
	}
}

func TestAnUnreadableLastAddressIsNoTrouble(t *testing.T) {
	s := locked(t, t.TempDir())
	allocate(t, s, owner(1), "10.244.1.0/24")
	if err := os.WriteFile(filepath.Join(s.Dir, "last_reserved_ip.4"), []byte("\x00torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := allocate(t, s, owner(2), "10.244.1.0/24"); got != "10.244.1.2" {
		t.Error(got)
	}
}

// The lock is of an open file: it ends with the process, however that ends.
func TestALockEndsWithItsProcess(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	holder := exec.Command("flock", "--no-fork", filepath.Join(s.Dir, "lock"), "sh", "-c", "echo locked; exec sleep 60")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lock(time.Millisecond); !errors.Is(err, ErrBusy) {
		t.Fatalf("while another process has it: %v", err)
	}
	got := make(chan error)
	go func() {
		l, err := s.Lock(time.Minute)
		if err == nil {
			l.Close()
		}
		got <- err
	}()
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}
