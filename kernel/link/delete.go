package link

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// manyDeletions is from how many on devices are deleted together: a deletion
// waits for the kernel's readers (synchronize_net), some 16 ms, and 200 in one
// request wait once.
const manyDeletions = 4

// delete removes one device. The other end of a veth goes with it.
func (k *Kind) delete(name string) error {
	req := k.conn.Request(unix.RTM_DELLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("deleting interface %s: %w", name, err)
	}
	return nil
}

// deleteTogether puts the devices into a device group of their own and deletes
// that (rtnl_group_dellink, net/core/rtnetlink.c). False says that this did not
// work and that each should be tried by itself, which gives each its error.
func (k *Kind) deleteTogether(changes []state.Change[state.Link], which []int) bool {
	group, ok := k.freeGroup()
	if !ok {
		return false
	}
	for _, i := range which {
		if k.setGroup(changes[i].Before.Name, group) != nil {
			return false
		}
	}
	if !k.onlyOwned(group) {
		return false
	}
	req := k.conn.Request(unix.RTM_DELLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	// ENODEV: none was left in the group, all were gone already.
	return err == nil || errors.Is(err, unix.ENODEV)
}

// freeGroup draws a number that no device has as its group. Those who name
// groups (/etc/iproute2/group) use small numbers.
func (k *Kind) freeGroup() (uint32, bool) {
	links, err := k.conn.Links()
	if err != nil {
		return 0, false
	}
	group := 1<<30 | rand.Uint32N(1<<30)
	for _, l := range links {
		if l.Group == group {
			return 0, false
		}
	}
	return group, true
}

func (k *Kind) onlyOwned(group uint32) bool {
	links, err := k.conn.Links()
	if err != nil {
		return false
	}
	for _, l := range links {
		if l.Group == group && !Owned(l.Name) {
			return false
		}
	}
	return true
}

func (k *Kind) setGroup(name string, group uint32) error {
	req := k.conn.Request(unix.RTM_SETLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}
