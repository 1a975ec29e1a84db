package bgp

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"github.com/osrg/gobgp/v3/pkg/server"
)

// Who begins to watch gets what there is, then what changes, of IPv4 and IPv6 unicast.
func TestBestPathsAreWatched(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := server.NewBgpServer(server.LoggerOption(&serverLog{log: slog.New(slog.DiscardHandler)}))
	go s.Serve()
	if err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{Asn: 64512, RouterId: "192.0.2.1", ListenPort: -1}}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.StopBgp(context.Background(), &api.StopBgpRequest{}) }()
	four, six := netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("fd00:1::/64")
	hop4, hop6 := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")
	add := func(p netip.Prefix, hop netip.Addr) {
		t.Helper()
		if _, err := s.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: apiPath(p, hop, nil)}); err != nil {
			t.Fatal(err)
		}
	}
	add(four, hop4)

	changes := make(chan server.BestPathChange, 16)
	if err := s.WatchBestPaths(ctx, server.BestPathHandler{
		Changes: func(list []server.BestPathChange) {
			for _, c := range list {
				c.Paths = slices.Clone(c.Paths)
				changes <- c
			}
		},
		EndOfRIB: func(peer netip.Addr, _ packet.RouteFamily) { t.Errorf("End-of-RIB of %s, which is nobody", peer) },
	}); err != nil {
		t.Fatal(err)
	}
	is := func(what string, p netip.Prefix, hops ...netip.Addr) {
		t.Helper()
		select {
		case c := <-changes:
			var got []netip.Addr
			for _, path := range c.Paths {
				got = append(got, path.NextHop)
				if path.Peer.IsValid() {
					t.Errorf("%s: it is the server's own, not of %s", what, path.Peer)
				}
			}
			if c.Prefix != p || !slices.Equal(got, hops) || c.Family != map[bool]packet.RouteFamily{true: packet.RF_IPv4_UC, false: packet.RF_IPv6_UC}[p.Addr().Is4()] {
				t.Errorf("%s: got %v", what, c)
			}
		case <-ctx.Done():
			t.Fatalf("%s: nothing came", what)
		}
	}
	is("what was there", four, hop4)
	add(six, hop6)
	is("what comes", six, hop6)
	if err := s.DeletePath(ctx, &api.DeletePathRequest{TableType: api.TableType_GLOBAL, Path: apiPath(four, hop4, nil)}); err != nil {
		t.Fatal(err)
	}
	is("what goes", four)
}
