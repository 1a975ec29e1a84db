package bgp

import (
	"context"
	"fmt"
	"net/netip"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

var (
	familyIPv4 = &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	familyIPv6 = &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
)

// connectRetry is the least time in seconds between two attempts to connect; GoBGP
// takes up to twice as long, and gives an attempt one second less.
const connectRetry = 3

// apiPeer is a session in GoBGP's words. address is the peer's: that of the
// session, or one of a dynamic neighbour.
func apiPeer(p state.BGPPeer, address netip.Addr, password string, external, restarting bool) *api.Peer {
	a := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: address.String(), PeerAsn: p.ASN, LocalAsn: p.LocalASN, AuthPassword: password,
		},
		Timers:          apiTimers(p),
		Transport:       &api.Transport{PassiveMode: p.Passive || p.Prefix.IsValid(), RemotePort: uint32(p.Port)},
		AfiSafis:        apiFamilies(p),
		GracefulRestart: apiRestart(p, restarting),
		EbgpMultihop:    apiMultihop(p, external),
		TtlSecurity:     &api.TtlSecurity{Enabled: p.MinTTL > 0, TtlMin: uint32(p.MinTTL)},
		RouteReflector:  apiReflector(p),
	}
	if p.Source.IsValid() {
		a.Transport.LocalAddress = p.Source.String()
	}
	return a
}

func apiTimers(p state.BGPPeer) *api.Timers {
	return &api.Timers{Config: &api.TimersConfig{
		ConnectRetry: connectRetry, HoldTime: uint64(p.HoldTime), KeepaliveInterval: max(uint64(p.HoldTime)/3, 1),
		IdleHoldTimeAfterReset: 1,
	}}
}

func apiFamilies(p state.BGPPeer) []*api.AfiSafi {
	var out []*api.AfiSafi
	for _, f := range []struct {
		on     bool
		family *api.Family
	}{{p.IPv4, familyIPv4}, {p.IPv6, familyIPv6}} {
		if f.on {
			out = append(out, &api.AfiSafi{
				Config:            &api.AfiSafiConfig{Family: f.family, Enabled: true},
				MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: p.RestartTime > 0}},
				PrefixLimits:      &api.PrefixLimit{Family: f.family, MaxPrefixes: p.MaxPrefixes},
			})
		}
	}
	return out
}

func apiRestart(p state.BGPPeer, restarting bool) *api.GracefulRestart {
	return &api.GracefulRestart{
		Enabled: p.RestartTime > 0, RestartTime: uint32(p.RestartTime), DeferralTime: uint32(p.RestartTime), LocalRestarting: restarting,
	}
}

// apiMultihop is of external peers alone: packets to internal ones have the usual TTL.
func apiMultihop(p state.BGPPeer, external bool) *api.EbgpMultihop {
	return &api.EbgpMultihop{Enabled: external && p.TTL > 1, MultihopTtl: uint32(p.TTL)}
}

func apiReflector(p state.BGPPeer) *api.RouteReflector {
	r := &api.RouteReflector{RouteReflectorClient: p.ClusterID.IsValid()}
	if p.ClusterID.IsValid() {
		r.RouteReflectorClusterId = p.ClusterID.String()
	}
	return r
}

// addPeer makes a session, or what is offered to dynamic neighbours. After a
// restart the neighbours that were there before are added by their addresses:
// GoBGP does not tell dynamic ones that it has restarted.
func (s *Speaker) addPeer(c *config, p state.BGPPeer) error {
	password, err := s.passwordOf(p)
	if err != nil {
		return err
	}
	restarting := s.restarting()
	if p.Address.IsValid() {
		return s.addAddress(apiPeer(p, p.Address, password, c.external(p), restarting), p.Address)
	}
	group := apiPeer(p, netip.Addr{}, password, c.external(p), restarting)
	name := p.Prefix.String()
	if err := s.server.AddPeerGroup(context.Background(), &api.AddPeerGroupRequest{PeerGroup: &api.PeerGroup{
		Conf: &api.PeerGroupConf{
			PeerGroupName: name, PeerAsn: p.ASN, LocalAsn: p.LocalASN, AuthPassword: password,
		},
		Timers: group.Timers, Transport: group.Transport, AfiSafis: group.AfiSafis, GracefulRestart: group.GracefulRestart,
		EbgpMultihop: group.EbgpMultihop, TtlSecurity: group.TtlSecurity, RouteReflector: group.RouteReflector,
	}}); err != nil {
		return err
	}
	if err := s.server.AddDynamicNeighbor(context.Background(), &api.AddDynamicNeighborRequest{
		DynamicNeighbor: &api.DynamicNeighbor{Prefix: name, PeerGroup: name},
	}); err != nil {
		return err
	}
	if !restarting {
		return nil
	}
	for _, address := range s.neighbours.in(p.Prefix) {
		if _, own := c.peers[address.String()]; own {
			continue
		}
		if err := s.addAddress(apiPeer(p, address, password, c.external(p), true), address); err != nil {
			return fmt.Errorf("neighbour %s: %w", address, err)
		}
		s.remembered[address] = p.Prefix
	}
	return nil
}

func (s *Speaker) passwordOf(p state.BGPPeer) (string, error) {
	if p.PasswordFile == "" {
		return "", nil
	}
	password, ok := s.options.Passwords.password(p.PasswordID)
	if !ok {
		return "", fmt.Errorf("the password of file %s is not known; write the file anew, or restart the agent", p.PasswordFile)
	}
	return password, nil
}

// deletePeer ends a session with a notification, or all that are of a prefix.
func (s *Speaker) deletePeer(p state.BGPPeer) error {
	if p.Address.IsValid() {
		return s.deleteAddress(p.Address)
	}
	name := p.Prefix.String()
	if err := s.server.DeleteDynamicNeighbor(context.Background(), &api.DeleteDynamicNeighborRequest{Prefix: name, PeerGroup: name}); err != nil {
		return err
	}
	for address, prefix := range s.dynamic() {
		if prefix == p.Prefix {
			// One that has just gone by itself is no error; one that stays is the group's.
			_ = s.deleteAddress(address)
		}
	}
	return s.server.DeletePeerGroup(context.Background(), &api.DeletePeerGroupRequest{Name: name})
}

// noASN belongs to nobody (RFC 7300).
const noASN = 4294967295

// addAddress adds a peer, for whose address the listening socket gets a password of its
// own, if there is one: it goes before that of a prefix.
func (s *Speaker) addAddress(p *api.Peer, address netip.Addr) error {
	if err := s.server.AddPeer(context.Background(), &api.AddPeerRequest{Peer: p}); err != nil {
		return err
	}
	if p.GetConf().GetAuthPassword() != "" {
		s.keyed[address] = true
	}
	return nil
}

// deleteAddress deletes a peer. GoBGP's DeletePeer leaves the password on the
// listening socket, which would refuse the peer without it for ever; its update,
// which deletes and adds, takes it off.
func (s *Speaker) deleteAddress(address netip.Addr) error {
	delete(s.remembered, address)
	if s.keyed[address] {
		if _, err := s.server.UpdatePeer(context.Background(), &api.UpdatePeerRequest{Peer: &api.Peer{
			Conf:      &api.PeerConf{NeighborAddress: address.String(), PeerAsn: noASN},
			Transport: &api.Transport{PassiveMode: true},
		}}); err != nil {
			return err
		}
		delete(s.keyed, address)
	}
	return s.server.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: address.String()})
}

// dynamic gives the dynamic neighbours that are there now, with their prefixes.
func (s *Speaker) dynamic() map[netip.Addr]netip.Prefix {
	out := map[netip.Addr]netip.Prefix{}
	_ = s.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		address, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
		if err != nil {
			return
		}
		if prefix, err := netip.ParsePrefix(p.GetConf().GetPeerGroup()); err == nil {
			out[address] = prefix
		} else if prefix, ok := s.remembered[address]; ok {
			out[address] = prefix
		}
	})
	return out
}
