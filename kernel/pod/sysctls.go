package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/sysctl"
	"github.com/plumbnet/plumb/state"
)

// setHostSysctls sets what the host end is to have from its first packet on, and
// what nobody keeps so later: that a pod cannot make the host take routes from it
// (accept_ra), and what plays a part only when the link comes up (accept_dad,
// disable_ipv6).
func (w *wiring) setHostSysctls() error {
	if err := ensure(w.Sysctls...); err != nil {
		return err
	}
	conf6 := "net/ipv6/conf/" + w.HostEnd + "/"
	err := ensure(
		state.Sysctl{Path: conf6 + "accept_ra", Value: "0"},
		state.Sysctl{Path: conf6 + "accept_dad", Value: "0"},
	)
	if !w.has6() {
		// A pod without IPv6 is fine on a kernel without it.
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return errors.Join(err, ensure(
		state.Sysctl{Path: conf6 + "disable_ipv6", Value: "0"},
	))
}

// setPodSysctls readies the pod's end for IPv6, which container runtimes switch
// off in a new namespace.
func (w *wiring) setPodSysctls() error {
	if !w.has6() {
		return nil
	}
	return inside(w.ns, func() error {
		return ensure(
			state.Sysctl{Path: "net/ipv6/conf/lo/disable_ipv6", Value: "0"},
			state.Sysctl{Path: "net/ipv6/conf/" + w.IfName + "/disable_ipv6", Value: "0"},
			state.Sysctl{Path: "net/ipv6/conf/" + w.IfName + "/accept_dad", Value: "0"},
		)
	})
}

func ensure(list ...state.Sysctl) error {
	for _, s := range list {
		if err := sysctl.Ensure(s.Path, s.Value); err != nil {
			return err
		}
	}
	return nil
}

// inside calls f on a thread that is in the namespace ns: /proc/sys/net is that
// of the thread which opens a file. f must not start goroutines that use it.
func inside(ns *os.File, f func() error) error {
	done := make(chan error)
	go func() {
		// If the thread cannot return to where it was, it stays locked and ends
		// with the goroutine, so that nothing else ever runs on it.
		runtime.LockOSThread()
		back, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer back.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("setns %s: %w", ns.Name(), err)
			return
		}
		err = f()
		if unix.Setns(int(back.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
