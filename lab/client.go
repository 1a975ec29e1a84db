package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Client talks to the supervisor of a running lab. Its methods may be called from
// several goroutines.
type Client struct{ Dir Dir }

// ErrNotRunning says that there is no lab to talk to.
var ErrNotRunning = errors.New("no lab is running")

// Status tells how the lab is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	r, err := c.do(ctx, Request{Status: &struct{}{}})
	if err != nil {
		return nil, err
	}
	return r.Status, nil
}

// Ping sends an echo request from one place to each target and waits for each
// reply so long.
func (c *Client) Ping(ctx context.Context, from string, to []netip.Addr, wait time.Duration) ([]PingResult, error) {
	r, err := c.do(ctx, Request{Ping: &PingRequest{From: from, To: to, Wait: wait}})
	return r.Pings, err
}

// Whoami asks a pod or host under which address it sees another.
func (c *Client) Whoami(ctx context.Context, from string, at netip.Addr) (netip.Addr, error) {
	r, err := c.do(ctx, Request{Whoami: &WhoamiRequest{From: from, At: at}})
	return r.Seen, err
}

// ARP asks who answers for an address on eth0 of a place.
func (c *Client) ARP(ctx context.Context, from string, who netip.Addr) (string, error) {
	r, err := c.do(ctx, Request{ARP: &ARPRequest{From: from, Who: who}})
	return r.MAC, err
}

// Signal sends a signal to a node's agent. One that ends is started again.
func (c *Client) Signal(ctx context.Context, node string, sig syscall.Signal) error {
	_, err := c.do(ctx, Request{Signal: &SignalRequest{Node: node, Signal: int(sig)}})
	return err
}

// stop asks the supervisor to delete the pods and to end. It ends whether or not
// they could be deleted; left says what could not.
func (c *Client) stop(ctx context.Context) (left, err error) {
	reply, err := c.do(ctx, Request{Stop: &struct{}{}})
	if reply.Error != "" {
		return errors.New(reply.Error), nil
	}
	return nil, err
}

// do asks one thing and waits for the answer.
func (c *Client) do(ctx context.Context, r Request) (Reply, error) {
	conn, err := c.connect(ctx, r)
	if err != nil {
		return Reply{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })() //nolint:errcheck // sockets have deadlines
	var reply Reply
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return Reply{}, fmt.Errorf("lab %q: the supervisor does not answer: %w", c.Dir.Name(), err)
	}
	if reply.Error != "" {
		return reply, errors.New(reply.Error)
	}
	return reply, nil
}

// connect sends a request and the descriptors that go with it.
func (c *Client) connect(ctx context.Context, r Request, files ...*os.File) (*net.UnixConn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "unix", c.Dir.Control())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w (%s): `%s` brings one up", ErrNotRunning, c.Dir, c.Dir.verb("up"))
	}
	if err != nil {
		return nil, fmt.Errorf("lab %q: %w", c.Dir.Name(), err)
	}
	conn := nc.(*net.UnixConn)
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := conn.WriteMsgUnix([]byte{0}, rights, nil); err != nil {
		conn.Close()
		return nil, fmt.Errorf("lab %q: %w", c.Dir.Name(), err)
	}
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		conn.Close()
		return nil, fmt.Errorf("lab %q: %w", c.Dir.Name(), err)
	}
	return conn, nil
}
