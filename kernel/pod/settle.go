package pod

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
)

// settleTime bounds how long an IPv6 address may take to come into use. It does
// so in far less than a millisecond, except on a machine that is busy.
const settleTime = 20 * time.Second

// settle waits until the IPv6 addresses are in use. The kernel answers for an
// address when its local route stands, which a worker of the kernel adds after
// the request was acknowledged, even where nothing is to be tested
// (addrconf_dad_work, net/ipv6/addrconf.c). Until then the first packet is lost.
func (w *wiring) settle(ctx context.Context) error {
	if !w.has6() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, settleTime, errors.New("still not in use"))
	defer cancel()
	for _, a := range w.Addresses {
		if !a.Is6() {
			continue
		}
		if err := awaitLocal(ctx, w.pod, a, 0); err != nil {
			return err
		}
	}
	return awaitLocal(ctx, w.host, gateway6, w.hostEnd)
}

// awaitLocal waits until packets to a are delivered where s is.
func awaitLocal(ctx context.Context, s *rtnl.Socket, a netip.Addr, index int32) error {
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		if routeType, err := lookUp(s, a, index); err == nil && routeType == unix.RTN_LOCAL {
			return nil
		}
		// An error here (no route) is the usual one, and says no more.
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", a, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}
