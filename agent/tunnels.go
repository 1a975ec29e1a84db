package agent

import (
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// TunnelStatus is a tunnel device that is wanted, in the words of ip-link(8).
type TunnelStatus struct {
	Device    string   `json:"device"`
	Type      string   `json:"type"`
	VNI       uint32   `json:"vni,omitempty"`
	Port      uint16   `json:"port,omitempty"`
	Local     string   `json:"local"`
	Parent    string   `json:"parent,omitempty"`
	MTU       uint32   `json:"mtu"`
	Addresses []string `json:"addresses"`
	// Remotes are the forwarding entries (bridge fdb): one for each node behind the
	// tunnel. IPIP has none.
	Remotes int    `json:"remotes,omitempty"`
	State   string `json:"state"` // up, pending or failing
}

// tunnelStatus gives the tunnels that are wanted in the present step of a handover.
func (s *sources) tunnelStatus(e *reconcile.Engine) []TunnelStatus {
	out := []TunnelStatus{}
	at := map[string]int{}
	base := s.handover.base(s.base)
	for _, w := range base {
		l, ok := w.Object.(state.Link)
		if !ok || !state.IsTunnel(l.Name) {
			continue
		}
		t := TunnelStatus{
			Device: l.Name, Type: l.Type, VNI: l.VNI, Port: l.Port, Local: l.Local.String(), Parent: l.Parent,
			MTU: l.MTU, Addresses: []string{}, State: "up",
		}
		switch want, have := e.At(l.Key()); {
		case e.Failure(l.Key()) != nil:
			t.State = "failing"
		case have == nil || have != want:
			t.State = "pending"
		}
		at[l.Name] = len(out)
		out = append(out, t)
	}
	if len(out) == 0 {
		return out
	}
	for _, w := range base {
		if a, ok := w.Object.(state.Address); ok {
			if i, ok := at[a.Dev]; ok {
				out[i].Addresses = append(out[i].Addresses, a.Prefix.String())
			}
		}
	}
	for _, r := range s.remotes {
		for _, w := range r.wanted {
			if f, ok := w.Object.(state.FDB); ok {
				if i, ok := at[f.Dev]; ok {
					out[i].Remotes++
				}
			}
		}
	}
	return out
}
