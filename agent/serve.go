package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serve answers on the unix socket and, where asked to, on TCP, until ctx ends.
func (a *agent) serve(ctx context.Context) (*sync.WaitGroup, error) {
	var wg sync.WaitGroup
	if a.Socket != "" {
		l, err := listenUnix(ctx, a.Socket)
		if err != nil {
			return nil, err
		}
		a.serveOn(ctx, &wg, l, true)
	}
	if a.HTTP != "" && !a.serveHTTP(ctx, &wg) {
		wg.Go(func() { a.awaitHTTP(ctx, &wg) })
	}
	return &wg, nil
}

// httpEvery is how often a TCP address is tried that could not be had.
const httpEvery = 2 * time.Second

// awaitHTTP tries until the address can be had: another program's port keeps the
// agent from its work no more than an address that comes later in the boot.
func (a *agent) awaitHTTP(ctx context.Context, wg *sync.WaitGroup) {
	tick := time.NewTicker(httpEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if a.serveHTTP(ctx, wg) {
			a.Log.Info("health and metrics over HTTP, now", "address", a.HTTP)
			return
		}
	}
}

// serveHTTP says why it cannot when that is news.
func (a *agent) serveHTTP(ctx context.Context, wg *sync.WaitGroup) bool {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.HTTP)
	if err == nil {
		a.serveOn(ctx, wg, l, false)
		return true
	}
	if text := err.Error(); text != a.saidHTTP && ctx.Err() == nil {
		a.saidHTTP = text
		a.Log.Error("no health and metrics over HTTP until the address is there and its port free; or give another with --http", "err", err)
	}
	return false
}

// listenUnix puts the socket in place of one that a killed agent left behind:
// the lock on the state directory says that nobody uses that.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		return nil, errors.Join(fmt.Errorf("socket %s: an agent answers there already", path), c.Close())
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("socket %s: there is a file that is no socket; remove it, or give another --socket", path)
		}
		_ = os.Remove(path)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), l.Close())
	}
	return l, nil
}

// serveOn serves on a listener; local is the unix socket, which is root's alone.
func (a *agent) serveOn(ctx context.Context, wg *sync.WaitGroup, l net.Listener, local bool) {
	s := &http.Server{Handler: a.handler(local), ReadHeaderTimeout: 5 * time.Second}
	wg.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.Log.Error("the API stopped", "address", l.Addr().String(), "err", err)
		}
	})
	wg.Go(func() {
		<-ctx.Done()
		_ = s.Close()
	})
}

// stalled is how long the loop may be silent before it counts as dead.
const stalled = 30 * time.Second

func (a *agent) handler(local bool) http.Handler {
	mux := http.NewServeMux()
	if local {
		a.serveBGP(mux)
		a.serveTrace(mux)
	}
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		s, err := a.status(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), stalled)
		defer cancel()
		if _, err := a.status(ctx); err != nil {
			http.Error(w, "the loop does not turn", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), stalled)
		defer cancel()
		if why := a.readiness(ctx); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}
