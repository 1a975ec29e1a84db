package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/state"
)

// macAttempts is how often a MAC address is set that something else (udev's
// MACAddressPolicy, when the device is new) sets to another at the same time.
const macAttempts = 3

// Apply deletes devices, and sets the MAC address and the administrative state
// of those that there are. A device that is missing is an error where it is to
// be made, and none where it is to be deleted. Each change gets its own error.
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

// set gives the device of want's name the MAC address and the state of want.
func (k *Kind) set(want state.Link) error {
	have, err := k.conn.Link(want.Name)
	if errors.Is(err, unix.ENODEV) {
		return missing(want)
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", want.Name, err)
	}
	if have.Kind != want.Type {
		return fmt.Errorf("interface %s is of type %q, not %q, which cannot be changed", want.Name, have.Kind, want.Type)
	}
	if want.MAC != "" && toState(have).MAC != want.MAC {
		if have, err = k.setMAC(have, want.MAC); err != nil {
			return fmt.Errorf("interface %s: setting MAC %s: %w", want.Name, want.MAC, err)
		}
	}
	if have.Up != want.Up {
		if err := k.modify(have.Index, &want.Up, nil); err != nil {
			return fmt.Errorf("interface %s: setting it %s: %w", want.Name, upDown(want.Up), err)
		}
	}
	return nil
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
		if err := k.modify(l.Index, nil, mac); err != nil {
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

// modify sends RTM_NEWLINK for a device that is there; what is nil is left alone.
func (k *Kind) modify(index int, up *bool, mac net.HardwareAddr) error {
	req := k.conn.Request(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	head := nl.NewIfInfomsg(unix.AF_UNSPEC)
	head.Index = int32(index)
	if up != nil {
		head.Change = unix.IFF_UP
		if *up {
			head.Flags = unix.IFF_UP
		}
	}
	req.AddData(head)
	if mac != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
