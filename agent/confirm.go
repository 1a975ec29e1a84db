package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// AwaitConfirmation listens on the socket, where an agent would, for one POST
// /confirm.
func AwaitConfirmation(socket string) (confirmed <-chan struct{}, stop func(), err error) {
	l, err := listenUnix(context.Background(), socket)
	if err != nil {
		return nil, nil, err
	}
	c := make(chan struct{})
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("POST /confirm", func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(c) })
		fmt.Fprintln(w, "confirmed")
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(l) }()
	return c, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx) // lets the confirmation's own answer go out
	}, nil
}

// MakeStateDir makes the state directory where it is missing.
func MakeStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errors.Join(errors.New("state directory"), err)
	}
	return nil
}
