package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/state"
)

// macAttempts is how often a MAC address is set that something else (udev's
// MACAddressPolicy, when the device is new) sets to another at the same time.
const macAttempts = 3

// Apply makes tunnel devices, deletes devices, and sets the MAC address, the MTU
// and the administrative state of those that there are. A tunnel that was made with
// something else is replaced by a new one: the kernel cannot change most of it; one
// that was put into a bridge is taken out. A
// host end that is missing is an error where it is to be made, and a device that
// is, none where it is to be deleted. Each change gets its own error.
func (k *Kind) Apply(ctx context.Context, changes []state.Change[state.Link]) []error {
	errs := make([]error, len(changes))
	var deletions []int
	for i, c := range changes {
		name := c.Object().Name
		switch {
		case ctx.Err() != nil:
			errs[i] = ctx.Err()
		case !Owned(name):
			errs[i] = fmt.Errorf("interface %s is not plumb's", name)
		case c.Action == state.Delete:
			deletions = append(deletions, i)
		default:
			errs[i] = k.set(c.After)
		}
	}
	if len(deletions) >= manyDeletions && k.deleteTogether(changes, deletions) {
		return errs
	}
	for _, i := range deletions {
		if err := ctx.Err(); err != nil {
			errs[i] = err
			continue
		}
		errs[i] = k.delete(changes[i].Before.Name)
	}
	return errs
}

// set gives the device of want's name what want says.
func (k *Kind) set(want state.Link) error {
	l, err := k.conn.Link(want.Name)
	switch {
	case errors.Is(err, unix.ENODEV) && makes(want.Type):
		return inContext(want, "making it", k.add(want))
	case errors.Is(err, unix.ENODEV):
		return missing(want)
	case err != nil:
		return fmt.Errorf("interface %s: %w", want.Name, err)
	}
	if l.Master != 0 && makes(want.Type) {
		if err := k.modify(l.Index, change{free: true}); err != nil {
			return inContext(want, "setting nomaster", err)
		}
		l.Master = 0
	}
	have := toState(l, k.name)
	switch same := have.Type == want.Type && have.Tunnel == want.Tunnel; {
	case !same && makes(want.Type):
		return k.replace(want)
	case !same:
		return fmt.Errorf("interface %s is of type %q, not %q, which cannot be changed", want.Name, have.Type, want.Type)
	}
	if want.MAC != "" && have.MAC != want.MAC {
		if l, err = k.setMAC(l, want.MAC); err != nil {
			return inContext(want, "setting MAC "+want.MAC, err)
		}
	}
	var c change
	if want.MTU != 0 && have.MTU != want.MTU {
		c.mtu = want.MTU
	}
	if l.Up != want.Up {
		c.up = &want.Up
	}
	if c.up == nil && c.mtu == 0 {
		return nil
	}
	return inContext(want, "setting "+c.String(), k.modify(l.Index, c))
}

func inContext(want state.Link, doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("interface %s: %s: %w", want.Name, doing, err)
}

// replace puts a new device in the place of one of the same name. Its routes,
// addresses and entries go with the old one; events say so.
func (k *Kind) replace(want state.Link) error {
	if err := k.delete(want.Name); err != nil {
		return err
	}
	return inContext(want, "making it anew", k.add(want))
}

// name is that of the device with an index, asked for: tunnels have few parents.
func (k *Kind) name(index int) string {
	l, err := k.conn.LinkByIndex(index)
	if err != nil {
		return nameOf(nil, index)
	}
	return l.Name
}

func missing(want state.Link) error {
	if want.Type == "veth" {
		return fmt.Errorf("interface %s does not exist: its pod's end is made by the CNI plugin", want.Name)
	}
	return fmt.Errorf("interface %s does not exist, and plumb does not make devices of type %s", want.Name, want.Type)
}

// setMAC sets the address and looks whether it stayed. It gives the device as
// it then is. The device stays up meanwhile, and so keeps its routes: veth and
// vxlan are IFF_LIVE_ADDR_CHANGE (drivers/net/veth.c, veth_setup).
func (k *Kind) setMAC(l monitor.Link, text string) (monitor.Link, error) {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return l, err
	}
	for range macAttempts {
		if err := k.modify(l.Index, change{mac: mac}); err != nil {
			return l, err
		}
		if l, err = k.conn.Link(l.Name); err != nil {
			return l, err
		}
		if bytes.Equal(l.MAC, mac) {
			return l, nil
		}
	}
	return l, fmt.Errorf("something else sets it to %s", net.HardwareAddr(l.MAC))
}

// change is what RTM_NEWLINK changes of a device that is there; what is zero is
// left alone.
type change struct {
	up   *bool
	mac  net.HardwareAddr
	mtu  uint32
	free bool // out of the bridge or VRF that it is in
}

func (c change) String() string {
	var words []string
	if c.mtu != 0 {
		words = append(words, fmt.Sprintf("mtu %d", c.mtu))
	}
	if c.up != nil {
		words = append(words, map[bool]string{true: "up", false: "down"}[*c.up])
	}
	return strings.Join(words, " ")
}

func (k *Kind) modify(index int, c change) error {
	req := k.conn.Request(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	head := nl.NewIfInfomsg(unix.AF_UNSPEC)
	head.Index = int32(index)
	if c.up != nil {
		head.Change = unix.IFF_UP
		if *c.up {
			head.Flags = unix.IFF_UP
		}
	}
	req.AddData(head)
	if c.mac != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, c.mac))
	}
	if c.mtu != 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(c.mtu)))
	}
	if c.free {
		req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(0)))
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
