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
// A TCP port that is taken does not keep the agent from its work.
func (a *agent) serve(ctx context.Context) (*sync.WaitGroup, error) {
	var wg sync.WaitGroup
	if a.Socket != "" {
		l, err := listenUnix(ctx, a.Socket)
		if err != nil {
			return nil, err
		}
		a.serveOn(ctx, &wg, l, true)
	}
	if a.HTTP != "" {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", a.HTTP)
		if err != nil {
			a.Log.Error("no health and metrics over HTTP; free the port or give another with --http", "err", err)
		} else {
			a.serveOn(ctx, &wg, l, false)
		}
	}
	return &wg, nil
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
		if !a.ready.Load() {
			http.Error(w, "not converged yet on a valid state file", http.StatusServiceUnavailable)
			return
		}
		if ok, why := a.bgpReady(r.Context()); !ok {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}
