package bgp

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// gate is a peer within this process that keeps GoBGP in restart. RFC 4724, 4.1,
// has a restarting speaker wait for the End-of-RIB of all its peers before it
// selects and announces routes; GoBGP does not count those that are not connected
// yet, and would end the restart with the first that is: the others would see it
// announce nothing, and drop their routes. The gate is connected before all others,
// and sends its End-of-RIB when it is told.
type gate struct {
	conn net.Conn
	done chan struct{}
}

var (
	gateAddress = netip.MustParseAddr("127.0.0.2")
	gateTarget  = netip.MustParseAddr("127.0.0.1")
)

// gateASN is one for private use that this node does not have.
func gateASN(own uint32) uint32 {
	const last = 4294967294
	if own == last {
		return last - 1
	}
	return last
}

// openGate connects the gate. Where GoBGP listens the gate calls it; where it does
// not, GoBGP calls the gate, which takes it a second or two.
func (s *Speaker) openGate(asn uint32, port int) (*gate, error) {
	g := &gate{done: make(chan struct{})}
	peer := &api.Peer{
		Conf:   &api.PeerConf{NeighborAddress: gateAddress.String(), PeerAsn: gateASN(asn)},
		Timers: &api.Timers{Config: &api.TimersConfig{ConnectRetry: 1, HoldTime: 3600, KeepaliveInterval: 1200}},
		Transport: &api.Transport{
			LocalAddress: gateTarget.String(), PassiveMode: port > 0,
		},
		GracefulRestart: &api.GracefulRestart{Enabled: true, RestartTime: 120, DeferralTime: 4095, LocalRestarting: true},
	}
	for _, f := range []*api.Family{familyIPv4, familyIPv6} {
		peer.AfiSafis = append(peer.AfiSafis, &api.AfiSafi{
			Config:            &api.AfiSafiConfig{Family: f, Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}},
		})
	}
	const patience = 10 * time.Second
	deadline := time.Now().Add(patience)
	var l *net.TCPListener
	if port <= 0 {
		var err error
		if l, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: gateAddress.AsSlice()}); err != nil {
			return nil, err
		}
		defer l.Close()
		_ = l.SetDeadline(deadline)
		peer.Transport.RemotePort = uint32(l.Addr().(*net.TCPAddr).Port)
	}
	if err := s.server.AddPeer(context.Background(), &api.AddPeerRequest{Peer: peer}); err != nil {
		return nil, err
	}
	var err error
	if l != nil {
		g.conn, err = l.Accept()
		if err == nil {
			err = g.shake(asn, deadline)
		}
	} else {
		err = g.call(asn, port, deadline)
	}
	if err != nil {
		_ = s.server.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: gateAddress.String()})
		return nil, err
	}
	go g.drain()
	return g, nil
}

// call connects until GoBGP's session is ready to be called.
func (g *gate) call(asn uint32, port int, deadline time.Time) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: gateAddress.AsSlice()}, Deadline: deadline}
	for {
		var err error
		if g.conn, err = d.Dial("tcp4", netip.AddrPortFrom(gateTarget, uint16(port)).String()); err != nil {
			return err
		}
		if err = g.shake(asn, deadline); err == nil {
			return nil
		}
		_ = g.conn.Close()
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// shake opens the session: OPEN and KEEPALIVE both ways.
func (g *gate) shake(asn uint32, deadline time.Time) error {
	_ = g.conn.SetDeadline(deadline)
	restart := []*packet.CapGracefulRestartTuple{
		packet.NewCapGracefulRestartTuple(packet.RF_IPv4_UC, false), packet.NewCapGracefulRestartTuple(packet.RF_IPv6_UC, false),
	}
	own := gateASN(asn)
	err := g.send(packet.NewBGPOpenMessage(packet.AS_TRANS, 3600, gateAddress.String(), []packet.OptionParameterInterface{
		packet.NewOptionParameterCapability([]packet.ParameterCapabilityInterface{
			packet.NewCapMultiProtocol(packet.RF_IPv4_UC), packet.NewCapMultiProtocol(packet.RF_IPv6_UC),
			packet.NewCapFourOctetASNumber(own), packet.NewCapGracefulRestart(false, false, 120, restart),
		}),
	}))
	for err == nil {
		var kind uint8
		kind, err = g.read()
		switch {
		case err != nil:
		case kind == packet.BGP_MSG_OPEN:
			err = g.send(packet.NewBGPKeepAliveMessage())
		case kind == packet.BGP_MSG_KEEPALIVE:
			return g.conn.SetDeadline(time.Time{})
		default:
			err = fmt.Errorf("unexpected message %d", kind)
		}
	}
	return err
}

func (g *gate) send(m *packet.BGPMessage) error {
	b, err := m.Serialize()
	if err != nil {
		return err
	}
	_, err = g.conn.Write(b)
	return err
}

// read gives the type of the next message (RFC 4271, 4.1).
func (g *gate) read() (uint8, error) {
	var header [packet.BGP_HEADER_LENGTH]byte
	if _, err := io.ReadFull(g.conn, header[:]); err != nil {
		return 0, err
	}
	body := int64(binary.BigEndian.Uint16(header[16:])) - packet.BGP_HEADER_LENGTH
	_, err := io.CopyN(io.Discard, g.conn, max(body, 0))
	return header[18], err
}

func (g *gate) drain() {
	defer close(g.done)
	for {
		if _, err := g.read(); err != nil {
			return
		}
	}
}

// lift ends the restart: GoBGP has what it waited for.
func (g *gate) lift() error {
	if err := g.send(packet.NewEndOfRib(packet.RF_IPv4_UC)); err != nil {
		return err
	}
	return g.send(packet.NewEndOfRib(packet.RF_IPv6_UC))
}

// closeGate takes the gate away when GoBGP has what lift sent.
func (s *Speaker) closeGate(g *gate) {
	s.await(time.Now().Add(2*time.Second), func(p *api.Peer) bool {
		return p.GetState().GetNeighborAddress() != gateAddress.String() || !p.GetGracefulRestart().GetLocalRestarting()
	})
	_ = s.server.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: gateAddress.String()})
	_ = g.conn.Close()
	<-g.done
}

// await looks at the peers until ok is true of all, or the time is over.
func (s *Speaker) await(deadline time.Time, ok func(*api.Peer) bool) {
	for {
		all := true
		_ = s.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) { all = all && ok(p) })
		if all || time.Now().After(deadline) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
