// Package conntrack forgets the flows of addresses that leave the node, so that
// the next endpoint with such an address does not inherit them: a flow that is
// known keeps its translation of addresses and its verdicts, whatever the rules
// say by then.
//
// It speaks ctnetlink (net/netfilter/nf_conntrack_netlink.c). Which flows are an
// address's is decided here, over one dump of the table, and not by the kernel's
// own filter (CTA_FILTER, Linux 5.8). That filter knows no "or", so that an address
// takes four dumps: together three fifths of a whole one among 100,000 flows, and
// four times as long among few (BenchmarkDeleteAmong100k, BenchmarkDeleteAmong1).
// For IPv6 it gives the flows that do not match (ctnetlink_filter_match_tuple, seen
// on Linux 6.1 and 6.18), and the first kernels that have it compare replies with
// nothing (ctnetlink_alloc_filter).
package conntrack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
)

// Delete deletes every flow that has one of the addresses as source or
// destination, as its first packet had them or as the replies have them (a pod
// behind masquerade or a service stands in one of the two alone), in every zone.
// It works in the network namespace of the calling thread, and says how many
// flows it deleted.
//
// Its cost is that of going through the table once, however many addresses there
// are: give those that leave together together. Flows that begin meanwhile are
// not seen: first take away what leads packets to the addresses.
//
// Errors: errors.ErrUnsupported where the kernel has no ctnetlink, so that nobody
// can delete flows; else what the kernel said, after all that could be deleted was.
func Delete(ctx context.Context, addresses ...netip.Addr) (deleted int, err error) {
	wanted, family := targets(addresses)
	if len(wanted) == 0 {
		return 0, nil
	}
	s, err := rtnl.OpenNetfilter()
	if err != nil {
		return 0, fmt.Errorf("conntrack: %w", supported(err))
	}
	defer s.Close()
	n, err := count(s)
	if err != nil {
		return 0, fmt.Errorf("conntrack: %w", supported(err))
	}
	if n == 0 { // to go through an empty table costs milliseconds where the node's may be large
		return 0, nil
	}
	found, err := find(ctx, s, family, wanted)
	if err != nil {
		err = fmt.Errorf("conntrack: list flows: %w", err)
	}
	deleted, delErr := remove(s, found)
	return deleted, errors.Join(err, delErr)
}

// supported turns the errors of a kernel without nfnetlink (no such protocol),
// and of one where nobody answers for ctnetlink (nfnetlink_rcv_msg gives EINVAL
// for a subsystem that it does not know), into errors.ErrUnsupported.
func supported(err error) error {
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: the kernel has no ctnetlink (CONFIG_NF_CT_NETLINK, module nf_conntrack_netlink): %w",
			errors.ErrUnsupported, err)
	}
	return err
}

// targets gives the addresses as flows have them, and their family: AF_UNSPEC
// where there are both.
func targets(addresses []netip.Addr) (wanted map[netip.Addr]bool, family byte) {
	wanted = make(map[netip.Addr]bool, len(addresses))
	v4, v6 := false, false
	for _, a := range addresses {
		a = a.Unmap().WithZone("")
		if a.IsValid() {
			wanted[a] = true
			v4, v6 = v4 || a.Is4(), v6 || a.Is6()
		}
	}
	switch {
	case v4 && v6:
		return wanted, unix.AF_UNSPEC
	case v4:
		return wanted, unix.AF_INET
	}
	return wanted, unix.AF_INET6
}

// remove deletes flows in as few system calls as it can. One that has gone by
// itself is no error.
func remove(s *rtnl.Socket, flows []flow) (deleted int, err error) {
	deleted = len(flows)
	b := s.Batch()
	b.Failed = func(_ int, e error) {
		deleted--
		if !errors.Is(e, unix.ENOENT) {
			err = e
		}
	}
	b.Lost = func(int) { err = rtnl.ErrLost }
	for i := range flows {
		flows[i].request(b.Message(msgDelete, 0, i))
	}
	b.Flush()
	if err != nil {
		return deleted, fmt.Errorf("conntrack: delete flows: %w", err)
	}
	return deleted, nil
}
