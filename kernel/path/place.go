// Package path asks the kernel what a packet meets in one network namespace: the
// route that it takes, devices, neighbours, parameters. It changes nothing, but for
// one thing that any packet does too: a neighbour that is not known is asked for.
package path

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/route"
	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace/facts"
)

// Place is a network namespace. It serves one goroutine at a time.
type Place struct {
	sock   *rtnl.Socket
	routes *route.Asker
}

// Open opens the namespace of the calling thread.
func Open() (*Place, error) {
	s, err := rtnl.Open()
	if err != nil {
		return nil, err
	}
	return &Place{s, route.NewAsker(s)}, nil
}

// Close closes the socket.
func (p *Place) Close() { _ = p.sock.Close() }

// Within runs f on a thread in the namespace of this file, which ends with it:
// what f opens is that namespace's. f must do so in its own goroutine.
func Within(netns string, f func() error) error {
	ns, err := os.Open(netns)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread goes with the goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("network namespace %s: setns: %w", netns, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// Sysctl reads a parameter of the calling thread's namespace: its path is below
// /proc/sys. It gives the empty string where there is none.
func Sysctl(path string) string {
	b, err := os.ReadFile("/proc/sys/" + path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Route asks which way a packet goes. In is the device that it comes in by, or
// empty for one that starts here; out, where it is given, the one it has to leave by.
func (p *Place) Route(ctx context.Context, packet facts.Packet, in, out string) facts.Lookup {
	a, err := p.routes.Ask(route.Query{
		Src: packet.Src, Dst: packet.Dst, In: in, Out: out, Proto: protocol(packet),
		SrcPort: packet.SrcPort, DstPort: packet.DstPort,
	})
	if err != nil {
		l := facts.Lookup{Error: "EIO", Words: err.Error()}
		var errno unix.Errno
		if errors.As(err, &errno) {
			l.Error, l.Words = unix.ErrnoName(errno), errno.Error()
		}
		return p.refused(ctx, packet, in, out, l)
	}
	l := lookup(&a.Route)
	l.Via, l.Source, l.MTU = a.Via, a.Source, int(a.MTU)
	return l
}

func lookup(r *state.Route) facts.Lookup {
	l := facts.Lookup{Text: route.Text(r), Dst: r.Dst, Type: r.Type, Proto: r.Protocol, Table: r.Table, Via: r.NextHop}
	if hops, err := r.Multipath.Hops(); err == nil {
		l.Hops = len(hops)
	}
	return l
}

// protocol is the number of the packet's protocol, as RTA_IP_PROTO takes it.
func protocol(p facts.Packet) byte {
	switch {
	case p.Proto == "tcp":
		return unix.IPPROTO_TCP
	case p.Proto == "udp":
		return unix.IPPROTO_UDP
	case p.Dst.Is4():
		return unix.IPPROTO_ICMP
	}
	return unix.IPPROTO_ICMPV6
}
