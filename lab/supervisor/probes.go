package supervisor

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/lab/probe"
)

// pinger is a namespace's, made when it is first used.
type pinger struct {
	once sync.Once
	p    *probe.Pinger
	err  error
}

func (s *supervisor) pingerOf(name string) (*probe.Pinger, error) {
	if err := s.known(name); err != nil {
		return nil, err
	}
	s.pingMu.Lock()
	p := s.pingers[name]
	if p == nil {
		p = &pinger{}
		s.pingers[name] = p
	}
	s.pingMu.Unlock()
	p.once.Do(func() {
		p.err = ns.Do(name, func() (err error) {
			p.p, err = probe.NewPinger()
			return err
		})
	})
	return p.p, p.err
}

func (s *supervisor) ping(ctx context.Context, r *lab.PingRequest) ([]lab.PingResult, error) {
	p, err := s.pingerOf(r.From)
	if err != nil {
		return nil, err
	}
	results := make([]lab.PingResult, len(r.To))
	var wg sync.WaitGroup
	for i, to := range r.To {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, r.Wait)
			defer cancel()
			rtt, err := p.Ping(ctx, to)
			results[i] = lab.PingResult{To: to, RTT: rtt}
			if err != nil {
				results[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	return results, nil
}

// probeWait is for a connection, a page, an ARP reply.
const probeWait = 10 * time.Second

func (s *supervisor) whoami(ctx context.Context, r *lab.WhoamiRequest) (netip.Addr, error) {
	if err := s.known(r.From); err != nil {
		return netip.Addr{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	return probe.Whoami(ctx, r.At, func(dial func() error) error { return ns.Do(r.From, dial) })
}

func (s *supervisor) arp(r *lab.ARPRequest) (mac string, err error) {
	if err := s.known(r.From); err != nil {
		return "", err
	}
	err = ns.Do(r.From, func() error {
		a, err := probe.ARP(uplink, s.sourceOf(r.From), r.Who, probeWait)
		mac = a.String()
		return err
	})
	return mac, err
}

// sourceOf is the IPv4 address of a pod; others ask from 0.0.0.0, as a probe.
func (s *supervisor) sourceOf(name string) netip.Addr {
	for _, p := range s.layout.Pods() {
		for _, a := range p.Addresses {
			if p.Name == name && a.Is4() {
				return a
			}
		}
	}
	return netip.IPv4Unspecified()
}
