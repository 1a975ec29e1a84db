package agent

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// Confirmation is one question, whether what was applied is to stay, with one
// answer: a confirmation that comes in time, or the end of the wait.
type Confirmation struct {
	mu      sync.Mutex
	settled bool
	yes     chan struct{}
	server  http.Server
}

// AwaitConfirmation listens on the socket, where an agent would, for a POST
// /confirm.
func AwaitConfirmation(socket string) (*Confirmation, error) {
	l, err := listenUnix(context.Background(), socket)
	if err != nil {
		return nil, err
	}
	c := &Confirmation{yes: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /confirm", func(w http.ResponseWriter, _ *http.Request) {
		if !c.settle() {
			http.Error(w, "too late: the earlier state is being put back", http.StatusConflict)
			return
		}
		close(c.yes)
		fmt.Fprintln(w, "confirmed")
	})
	c.server = http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = c.server.Serve(l) }()
	return c, nil
}

// settle gives true to the first who asks.
func (c *Confirmation) settle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.settled
	c.settled = true
	return first
}

// Wait waits for a confirmation, for a time or until ctx ends. Without one it
// gives false, and from then on every confirmation is refused.
func (c *Confirmation) Wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-c.yes:
		return true
	case <-time.After(d):
	case <-ctx.Done():
	}
	return !c.settle()
}

// Close stops listening; an answer that is on its way goes out.
func (c *Confirmation) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.server.Shutdown(ctx)
}

// MakeStateDir makes the state directory where it is missing.
func MakeStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}
