package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// turnTime bounds the wait for one's turn: to go on without it is slow, not wrong.
const turnTime = 10 * time.Second

// takeTurn waits until no other process wires a pod to this host, and gives how to
// let the next one in. All that wiring does needs the kernel's one lock of network
// devices, for which netlink waits asleep. But who writes certain parameters of a
// device (proxy_ndp, forwarding) while another has the lock tries again and again
// (restart_syscall, addrconf_sysctl_proxy_ndp in net/ipv6/addrconf.c), and two
// hundred who do so leave no time to the one that has it.
//
// The lock is on the file of the host's namespace, so it leaves nothing behind, and
// ends with the process.
func takeTurn(ctx context.Context) (done func(), err error) {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the host's namespace: %w", err)
	}
	release := func() { _ = unix.Close(fd) }
	if err := flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil {
		return release, nil
	} else if !errors.Is(err, unix.EWOULDBLOCK) {
		release()
		return nil, fmt.Errorf("lock of the host's namespace: %w", err)
	}
	// Waiting in the kernel is first come, first served. It cannot be broken off:
	// who gives up lets go of the lock when it comes.
	got := make(chan error, 1)
	go func() { got <- flock(fd, unix.LOCK_EX) }()
	giveUp := func() {
		go func() {
			<-got //nolint:errcheck // with or without the lock, it is let go of
			release()
		}()
	}
	select {
	case err := <-got:
		if err != nil {
			release()
			return nil, fmt.Errorf("lock of the host's namespace: %w", err)
		}
		return release, nil
	case <-time.After(turnTime):
		giveUp()
		return func() {}, nil
	case <-ctx.Done():
		giveUp()
		return nil, ctx.Err()
	}
}

func flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
