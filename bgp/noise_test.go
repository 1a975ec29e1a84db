package bgp_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// TestNoise throws broken messages at a speaker, from ever new peers: it lives on,
// nobody else's session ends, and the peers are taken again. PLUMB_TEST_SEED
// chooses other messages, PLUMB_TEST_NOISE for how long.
func TestNoise(t *testing.T) {
	seed, _ := strconv.ParseUint(os.Getenv("PLUMB_TEST_SEED"), 10, 64)
	lasts, err := time.ParseDuration(os.Getenv("PLUMB_TEST_NOISE"))
	if err != nil {
		lasts = 4 * time.Second
	}
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		// Routes go from the noisy ones to both kinds of bystander, through filters.
		internal := state.BGPPeer{
			Name: "inside", Prefix: prefix("127.1.0.0/16"), ASN: 64512, ClusterID: addr("192.0.2.1"), Reflect: true,
			IPv4: true, IPv6: true, NextHop6: addr("fd00::1"), HoldTime: 90,
		}
		external := state.BGPPeer{
			Name: "outside", Prefix: prefix("127.2.0.0/16"), ASN: 64513, Import: "in", Export: "all",
			IPv4: true, IPv6: true, NextHop6: addr("fd00::1"), HoldTime: 90,
		}
		restarts := external
		restarts.Name, restarts.Prefix, restarts.RestartTime = "restarts", prefix("127.3.0.0/16"), 1
		reader := internal
		reader.Name, reader.Prefix, reader.Address, reader.Passive = "reader", netip.Prefix{}, addr("127.0.0.8"), true
		listener := external
		listener.Name, listener.Prefix, listener.Address, listener.Passive = "listener", netip.Prefix{}, addr("127.0.0.9"), true
		listener.ASN = 64599 // of a path with its own AS it would hear nothing
		n.want(speaker(64512), internal, external, restarts, reader, listener,
			rules(t, "in", true, `as-path "_64666_" reject`, `community 64512:1 add-community 64512:2 prepend 2 accept`), rules(t, "all", true))
		stop := []func(){
			bystander(t, "127.0.0.8", opening(64512, "127.0.0.8", 90), false),
			bystander(t, "127.0.0.9", opening(64599, "127.0.0.9", 90, packet.NewCapFourOctetASNumber(64599)), true),
		}
		ctx, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		var peers, sessions, messages atomic.Int64
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(worker)))
				for ctx.Err() == nil {
					i := peers.Add(1)
					inside := rng.IntN(2) == 0
					network := 2 + rng.IntN(2)
					if inside {
						network = 1
					}
					up, sent := noisy(rng, fmt.Sprintf("127.%d.%d.%d", network, i>>8&0xff, i&0xff), inside)
					messages.Add(int64(sent))
					if up {
						sessions.Add(1)
					}
				}
			})
		}
		for ctx.Err() == nil { // what people look at while it goes on
			n.Sessions()
			_ = n.RIB(ctx, netip.Prefix{}, func(bgp.Destination) {})
			time.Sleep(50 * time.Millisecond)
		}
		wg.Wait()
		for _, f := range stop {
			f()
		}
		t.Logf("seed %d: %d peers, %d sessions, %d messages", seed, peers.Load(), sessions.Load(), messages.Load())
		for i, from := range []string{"127.1.0.1", "127.2.0.1", "127.3.0.1"} {
			as := uint16(64513)
			if i == 0 {
				as = 64512
			}
			r := callFrom(t, from, opening(as, from, 90))
			r.update(byte(200 + i))
			n.learns(fmt.Sprintf("10.244.%d.0/24", 200+i), "127.0.0.9")
		}
	})
}

// bystander is a peer that keeps its session, and hears all that is sent. stop
// fails where the session ended.
func bystander(t *testing.T, from string, open []byte, external bool) (stop func()) {
	t.Helper()
	r := callFrom(t, from, open)
	_ = r.c.SetDeadline(time.Time{})
	ended := make(chan string, 1)
	go func() {
		for {
			kind, body, err := r.read()
			switch {
			case err != nil:
				ended <- err.Error()
				return
			case kind == packet.BGP_MSG_NOTIFICATION:
				ended <- fmt.Sprintf("notification % x", body)
				return
			}
			if kind != packet.BGP_MSG_UPDATE {
				continue
			}
			// What the speaker passes on is well formed, whatever it heard.
			m := &packet.BGPUpdate{}
			if err := m.DecodeFromBytes(body); err != nil {
				t.Errorf("%s was sent % x: %v", from, body, err)
			} else if ok, err := packet.ValidateUpdateMsg(m, bothFamilies, external, false, true); !ok {
				t.Errorf("%s was sent % x: %v", from, body, err)
			}
		}
	}()
	beat, done := time.NewTicker(5*time.Second), make(chan struct{})
	go func() {
		for {
			select {
			case <-beat.C:
				_, _ = r.c.Write(message(packet.BGP_MSG_KEEPALIVE, nil))
			case <-done:
				return
			}
		}
	}()
	return func() {
		beat.Stop()
		close(done)
		select {
		case why := <-ended:
			t.Errorf("the session of %s, which had done nothing, ended: %s", from, why)
		default:
		}
		r.c.Close()
	}
}

var bothFamilies = map[packet.RouteFamily]packet.BGPAddPathMode{packet.RF_IPv4_UC: 0, packet.RF_IPv6_UC: 0}

// noisy is one peer: it opens a session, mostly, and says what it should not.
func noisy(rng *rand.Rand, from string, inside bool) (up bool, sent int) {
	c, err := dial(from)
	if err != nil {
		return false, 0
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	go drain(c)
	as := uint16(64513)
	if inside {
		as = 64512
	}
	open := opening(as, from, 90, oddCapabilities(rng)...)
	if rng.IntN(8) == 0 {
		open = mutateMessage(rng, open)
	}
	_, _ = c.Write(open)
	if rng.IntN(20) > 0 {
		_, _ = c.Write(message(packet.BGP_MSG_KEEPALIVE, nil))
		up = true
	}
	// A session comes up in about this time, and noise before it only ends it.
	time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
	for range 1 + rng.IntN(30) {
		if _, err := c.Write(noise(rng)); err != nil {
			break
		}
		sent++
		if rng.IntN(4) == 0 {
			time.Sleep(time.Duration(rng.IntN(4)) * time.Millisecond)
		}
	}
	time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
	return up, sent
}

func drain(c net.Conn) {
	b := make([]byte, 4096)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}
