package show

import (
	"context"
	"net/netip"
	"sync"

	"github.com/plumbnet/plumb/lab"
)

// call is one pod's TCP connection to a host or pod, and what is seen of it.
type call struct {
	from    lab.Pod
	to      string
	at      netip.Addr
	want    netip.Addr
	wantWho string // whose address that is
	seen    netip.Addr
	err     error
}

const itsOwn = "its own"

// sources shows under which address pods are seen.
func (d *demo) sources(ctx context.Context) error {
	d.title("Source addresses", "The address that the other end of a TCP connection sees: the node's outside the pools, the pod's own inside.")
	head := []string{"POD", "ADDRESS"}
	for _, h := range d.status.Hosts {
		head = append(head, h.Name+" SEES")
	}
	t := table{append(head, "A POD OF ANOTHER NODE SEES")}
	var rows [][]*call
	var wg sync.WaitGroup
	for _, ipv6 := range d.families() {
		for _, p := range d.status.Pods {
			if _, ok := ofFamily(p.Addresses, ipv6); !ok {
				continue
			}
			row := d.calls(p, ipv6)
			rows = append(rows, row)
			for _, c := range row {
				if c != nil {
					wg.Go(func() { c.seen, c.err = d.c.Whoami(ctx, c.from.Name, c.at) })
				}
			}
			own, _ := ofFamily(p.Addresses, ipv6)
			t.add(p.Name, own.String())
		}
	}
	wg.Wait()
	for i, row := range rows {
		for _, c := range row {
			t[i+1] = append(t[i+1], d.verdictOn(c))
		}
	}
	t.write(d.w, indent)
	return nil
}

// verdictOn is the cell of a call; nil is one that cannot be made.
func (d *demo) verdictOn(c *call) string {
	switch {
	case c == nil:
		return "-"
	case c.err != nil:
		d.expect(false, "pod %s calls %s: %v", c.from.Name, c.to, c.err)
		return "no answer"
	case c.seen != c.want:
		d.expect(false, "pod %s: %s sees it as %s, not as %s", c.from.Name, c.to, c.seen, c.want)
		return "WRONG: " + c.seen.String() + ", not " + c.want.String()
	}
	cell := c.seen.String() + ", " + c.wantWho
	if c.wantWho == itsOwn {
		cell += " (" + c.to + ")"
	}
	return cell
}

// calls are, for a pod, those to the hosts and to one pod of another node.
func (d *demo) calls(from lab.Pod, ipv6 bool) []*call {
	var row []*call
	for _, h := range d.status.Hosts {
		at, ok := ofFamily(beyond(h), ipv6)
		row = append(row, d.newCall(from, h.Name, at, ok))
	}
	// The next pod in the list that is elsewhere, so that all are called.
	n := len(d.status.Pods)
	for i, p := range d.status.Pods {
		if p.Name != from.Name {
			continue
		}
		for j := range n {
			next := d.status.Pods[(i+j)%n]
			if at, ok := ofFamily(next.Addresses, ipv6); ok && next.Node != from.Node {
				return append(row, d.newCall(from, next.Name, at, true))
			}
		}
	}
	return append(row, nil)
}

func (d *demo) newCall(from lab.Pod, to string, at netip.Addr, possible bool) *call {
	if !possible {
		return nil
	}
	c := &call{from: from, to: to, at: at, wantWho: itsOwn}
	c.want, _ = ofFamily(from.Addresses, at.Is6())
	if !d.inPools(at) && d.natOutgoing(c.want) {
		c.want, c.wantWho = d.nodeAddress(from.Node, at.Is6()), from.Node+"'s"
	}
	return c
}

func (d *demo) inPools(a netip.Addr) bool {
	for _, p := range d.state.Pools {
		if p.CIDR.Contains(a) {
			return true
		}
	}
	return false
}

func (d *demo) natOutgoing(a netip.Addr) bool {
	for _, p := range d.state.Pools {
		if p.CIDR.Contains(a) {
			return p.NATOutgoing
		}
	}
	return false
}

// nodeAddress is the address that a node masquerades with.
func (d *demo) nodeAddress(node string, ipv6 bool) netip.Addr {
	if a := d.state.NAT.Address; a.IsValid() && a.Is6() == ipv6 {
		return a
	}
	for _, n := range d.status.Nodes {
		for _, a := range n.Addresses {
			if n.Name == node && a.Addr().Is6() == ipv6 {
				return a.Addr()
			}
		}
	}
	return netip.Addr{}
}
