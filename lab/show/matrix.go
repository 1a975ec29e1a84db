package show

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/plumbnet/plumb/lab"
)

// PingWait is how long a reply may take before it counts as lost: long, since
// it is the machine that is slow, not the network. Who asks for a matrix sees a loss
// only then, and may ask again.
const PingWait = 3 * time.Second

// demoWait is the same for the demonstration, which pings once and expects no loss.
const demoWait = 15 * time.Second

// Matrix is the result of pings from each pod to each pod and host.
type Matrix struct {
	from, to []string
	cells    [][]*lab.PingResult // nil where an end has no address of the family
}

// place is one that is pinged.
type place struct {
	name      string
	addresses []netip.Addr
}

// PingAll pings from each pod to each pod and host, over IPv4 or IPv6, and waits so
// long for replies.
func PingAll(ctx context.Context, c *lab.Client, s *lab.Status, ipv6 bool, wait time.Duration) (*Matrix, error) {
	var to []place
	for _, p := range s.Pods {
		to = append(to, place{p.Name, p.Addresses})
	}
	for _, h := range s.Hosts {
		to = append(to, place{h.Name, beyond(h)})
	}
	m := &Matrix{}
	for _, p := range to {
		m.to = append(m.to, p.name)
	}
	var g errgroup.Group
	for _, p := range s.Pods {
		m.from = append(m.from, p.Name)
		row := make([]*lab.PingResult, len(to))
		m.cells = append(m.cells, row)
		var addresses []netip.Addr
		var columns []int
		for i, t := range to {
			if a, ok := ofFamily(t.addresses, ipv6); ok {
				addresses, columns = append(addresses, a), append(columns, i)
			}
		}
		if _, ok := ofFamily(p.Addresses, ipv6); !ok {
			continue
		}
		g.Go(func() error {
			results, err := c.Ping(ctx, p.Name, addresses, wait)
			if err != nil {
				return err
			}
			for i, r := range results {
				row[columns[i]] = &r
			}
			return nil
		})
	}
	return m, g.Wait()
}

// Sent is how many echo requests were sent, Lost how many had no reply.
func (m *Matrix) Sent() (sent, lost int) {
	for _, row := range m.cells {
		for _, r := range row {
			if r != nil {
				sent++
				if r.Error != "" {
					lost++
				}
			}
		}
	}
	return sent, lost
}

// Write prints the round trip times in milliseconds.
func (m *Matrix) Write(w io.Writer, indent string) {
	t := table{append([]string{"from \\ to"}, m.to...)}
	var errs []string
	for i, row := range m.cells {
		line := []string{m.from[i]}
		for j, r := range row {
			switch {
			case r == nil:
				line = append(line, "-")
			case r.Error == "lost":
				line = append(line, "lost")
			case r.Error != "":
				line = append(line, "error")
				errs = append(errs, fmt.Sprintf("%s to %s: %s", m.from[i], m.to[j], r.Error))
			default:
				line = append(line, milliseconds(r.RTT))
			}
		}
		t.add(line...)
	}
	t.write(w, indent)
	for _, e := range errs {
		fmt.Fprintln(w, indent+e)
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1000) }

// beyond is what of a host lies beyond the segment, else its addresses on it.
func beyond(h lab.Host) []netip.Addr {
	prefixes := h.Loopback
	if len(prefixes) == 0 {
		prefixes = h.Addresses
	}
	addresses := make([]netip.Addr, len(prefixes))
	for i, p := range prefixes {
		addresses[i] = p.Addr()
	}
	return addresses
}

// ofFamily is the first address of a family.
func ofFamily(addresses []netip.Addr, ipv6 bool) (netip.Addr, bool) {
	for _, a := range addresses {
		if a.Is6() == ipv6 {
			return a, true
		}
	}
	return netip.Addr{}, false
}
