package cni

import (
	"errors"
	"fmt"
	"os"

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
	// A namespace is the same where its file is (namespaces(7)).
	var pods, own unix.Stat_t
	if err := errors.Join(unix.Fstat(int(f.Fd()), &pods), unix.Stat("/proc/thread-self/ns/net", &own)); err != nil {
		return invalid(err)
	}
	if pods.Dev == own.Dev && pods.Ino == own.Ino {
		return invalid(errors.New(r.Netns + " is the node's own namespace, not a pod's"))
	}
	return nil
}
