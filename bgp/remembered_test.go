package bgp_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/state"
)

// rememberedNeighbour is a speaker after a restart, which knows a dynamic neighbour of
// before by its address, with a password; and BIRD in its place, for as long as it is
// told.
type rememberedNeighbour struct {
	*node
	t         *testing.T
	h         *bgptest.Host
	passwords *bgp.Passwords
	p         state.BGPPeer
}

func remember(t *testing.T, o bgp.Options, restartTime uint16, maxPrefixes uint32) *rememberedNeighbour {
	t.Helper()
	m := &rememberedNeighbour{t: t, h: wire(t)}
	o.StateDir, o.Restarting = t.TempDir(), true
	b, _ := json.Marshal([]netip.Addr{addr(far6)})
	if err := os.WriteFile(filepath.Join(o.StateDir, "bgp-neighbours.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	m.passwords, m.p = protected(t)
	o.Passwords = m.passwords
	m.p.Address, m.p.Prefix, m.p.RestartTime, m.p.MaxPrefixes = netip.Addr{}, prefix("2001:db8::/64"), restartTime, maxPrefixes
	m.node = open(t, o)
	m.want(speaker(64512), m.p)
	return m
}

func (m *rememberedNeighbour) router(password string) bgptest.Router {
	m.t.Helper()
	return bgptest.BIRD(m.t, m.h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{
		{Address: near6, Local: far6, ASN: 64512, IPv4: true, IPv6: true, Password: password, MinTTL: 255},
	}})
}

// comesWithAnother changes the password on both sides.
func (m *rememberedNeighbour) comesWithAnother() {
	m.t.Helper()
	if err := os.WriteFile(m.p.PasswordFile, []byte("another"), 0o600); err != nil {
		m.t.Fatal(err)
	}
	var err error
	if m.p.PasswordID, _, err = m.passwords.Look(m.p.PasswordFile); err != nil {
		m.t.Fatal(err)
	}
	m.want(speaker(64512), m.p)
	r := m.router("another")
	bgptest.Eventually(m.t, "up with the new password", func() bool { return m.up(far6) && r.Up(near6) }, r.Status)
}

// A dynamic neighbour of before a restart is asked for the password of its prefix, the
// one of now, whatever became of it meanwhile: the listening socket has a key for its
// address then, which goes before that of the prefix.
func TestRememberedNeighbourGetsANewPassword(t *testing.T) {
	t.Run("it is back", func(t *testing.T) {
		alone(t, func(t *testing.T) {
			m := remember(t, bgp.Options{}, 60, 0)
			r := m.router("open-sesame")
			bgptest.Eventually(t, "up", func() bool { return m.up(far6) && r.Up(near6) }, r.Status)
			r.Kill()
			m.comesWithAnother()
		})
	})
	t.Run("it did not come", func(t *testing.T) {
		alone(t, func(t *testing.T) {
			m := remember(t, bgp.Options{}, 2, 0)
			bgptest.Eventually(t, "settled", m.isSettled)
			m.comesWithAnother()
		})
	})
	t.Run("it had too many prefixes", func(t *testing.T) {
		alone(t, func(t *testing.T) {
			m := remember(t, bgp.Options{LimitRetry: time.Hour}, 60, 1)
			r := m.router("open-sesame")
			r.Announce("10.244.2.0/24")
			m.learns("10.244.2.0/24", far6)
			r.Announce("10.244.3.0/24")
			m.learns("10.244.2.0/24")
			bgptest.Eventually(t, "it is said", func() bool { return m.log.has("more prefixes than maxPrefixes allows") })
			time.Sleep(time.Second) // it is held off
			r.Kill()
			m.comesWithAnother()
		})
	})
}

// A dynamic neighbour that has gone for good is not looked for after a restart; when it
// comes again it is known how its session ended.
func TestDynamicNeighbourThatIsGone(t *testing.T) {
	alone(t, func(t *testing.T) {
		h, dir := wire(t), t.TempDir()
		start := func() bgptest.Router {
			return bgptest.BIRD(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		}
		remembered := func() string {
			b, _ := os.ReadFile(filepath.Join(dir, "bgp-neighbours.json"))
			return string(b)
		}
		n := open(t, bgp.Options{StateDir: dir})
		p := peer4(64513)
		p.Address, p.Prefix = netip.Addr{}, prefix("192.0.2.0/24")
		n.want(speaker(64512), p)
		r := start()
		n.established(far4)
		bgptest.Eventually(t, "it is remembered", func() bool { return remembered() == `["`+far4+`"]` }, remembered)
		r.Stop()
		bgptest.Eventually(t, "it is forgotten", func() bool { return remembered() == "[]" }, remembered)
		start()
		if s := n.established(far4); !strings.Contains(s.LastError, "the peer ended the session") {
			t.Errorf("%+v", s)
		}
	})
}
