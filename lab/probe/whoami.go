package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Port is where Serve listens.
const Port = 80

// Serve answers every HTTP request with the address that it sees the caller
// under. The socket is opened in the calling thread's namespace.
func Serve() (io.Closer, error) {
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", Port))
	if err != nil {
		return nil, fmt.Errorf("whoami: %w", err)
	}
	s := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(whoami)}
	go s.Serve(l) //nolint:errcheck // it ends when closed
	return s, nil
}

func whoami(w http.ResponseWriter, r *http.Request) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, from.Addr().Unmap())
}

// Whoami asks a Serve at an address under which address it sees the caller.
// dialIn runs a function on a thread in the namespace to ask from.
func Whoami(ctx context.Context, to netip.Addr, dialIn func(func() error) error) (netip.Addr, error) {
	seen, err := get(ctx, to, dialIn)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("whoami at %s: %w", to, err)
	}
	return seen, nil
}

func get(ctx context.Context, to netip.Addr, dialIn func(func() error) error) (netip.Addr, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		// Dialling a literal address opens the socket on the calling thread.
		DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			err = dialIn(func() error {
				c, err = new(net.Dialer).DialContext(ctx, network, address)
				return err
			})
			return c, err
		},
	}
	defer transport.CloseIdleConnections()
	url := "http://" + netip.AddrPortFrom(to, Port).String() + "/"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return netip.Addr{}, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("no answer")
		}
		return netip.Addr{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(strings.TrimSpace(string(text)))
}
