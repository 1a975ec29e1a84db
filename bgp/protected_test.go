package bgp_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/state"
)

// protected is a session over IPv6 with a password and TTL security.
func protected(t *testing.T) (*bgp.Passwords, state.BGPPeer) {
	t.Helper()
	passwords, err := bgp.OpenPasswords(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := peer4(64513)
	p.Address, p.MinTTL, p.PasswordFile = addr(far6), 255, filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(p.PasswordFile, []byte("open-sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p.PasswordID, _, err = passwords.Look(p.PasswordFile); err != nil {
		t.Fatal(err)
	}
	return passwords, p
}

// Passwords and TTL security protect sessions over IPv6 as well, whoever calls.
func TestProtectedOverIPv6(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		h := wire(t)
		router := func(password string, ttl int) bgptest.Router {
			return start(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{
				{Address: near6, Local: far6, ASN: 64512, IPv4: true, IPv6: true, Password: password, MinTTL: ttl},
			}})
		}
		passwords, p := protected(t)
		n := open(t, bgp.Options{Passwords: passwords, OpenWait: 3 * time.Second})
		n.want(speaker(64512), p)
		r := router("open-sesame", 0)
		time.Sleep(4 * time.Second) // nothing may happen in it
		if n.up(far6) {
			t.Error("up, though the peer sends with a TTL of 1")
		}
		r.Kill()
		r = router("close-sesame", 255)
		time.Sleep(4 * time.Second)
		if n.up(far6) {
			t.Error("up with the wrong password")
		}
		r.Kill()
		r = router("open-sesame", 255)
		bgptest.Eventually(t, "up", func() bool { return n.up(far6) && r.Up(near6) }, r.Status, n.log.String)
		p.Passive = true
		n.want(speaker(64512), p)
		bgptest.Eventually(t, "up by being called", func() bool { return n.up(far6) && r.Up(near6) }, r.Status, n.log.String)
	})
}

// Dynamic neighbours are asked for the password of their prefix.
func TestDynamicNeighbourWithPassword(t *testing.T) {
	alone(t, func(t *testing.T) {
		h := wire(t)
		passwords, p := protected(t)
		p.Address, p.Prefix = netip.Addr{}, prefix("2001:db8::/64")
		n := open(t, bgp.Options{Passwords: passwords})
		n.want(speaker(64512), p)
		router := func(password string) bgptest.Router {
			return bgptest.BIRD(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{
				{Address: near6, Local: far6, ASN: 64512, IPv4: true, IPv6: true, Password: password, MinTTL: 255},
			}})
		}
		for _, wrong := range []string{"", "close-sesame"} {
			r := router(wrong)
			time.Sleep(3 * time.Second) // nothing may happen in it
			if n.up(far6) {
				t.Errorf("up with the password %q", wrong)
			}
			r.Kill()
		}
		r := router("open-sesame")
		bgptest.Eventually(t, "up", func() bool { return n.up(far6) && r.Up(near6) }, r.Status, n.log.String)
	})
}
