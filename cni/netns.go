package cni

import (
	"errors"
	"fmt"
	"os"

	"github.com/containernetworking/cni/pkg/ns"
	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"
)

// checkNetNS says what is wrong with CNI_NETNS before anything is made: that it
// is missing, no network namespace, or the node's own.
func (r *request) checkNetNS() error {
	invalid := func(err error) error { return fail(types.ErrInvalidNetNS, "CNI_NETNS", err) }
	f, err := os.Open(r.Netns)
	if err != nil {
		return invalid(err)
	}
	defer f.Close()
	// What a namespace is of, only its own file answers (ioctl_ns(2)).
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return invalid(fmt.Errorf("%s is not a network namespace", r.Netns))
	}
	own, checkErr := ns.CheckNetNS(r.Netns)
	if checkErr != nil {
		return checkErr
	}
	if own {
		return invalid(errors.New(r.Netns + " is the node's own namespace, not a pod's"))
	}
	return nil
}
