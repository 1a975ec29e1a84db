package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// call asks the local API on the socket, and decodes its answer into out, where
// that is not nil.
func call(ctx context.Context, socket, method, path string, out any) error {
	return callWith(ctx, socket, method, path, nil, out)
}

// errNoAnswer says that no agent listens.
var errNoAnswer = errors.New("no answer")

// errNotServed says that who listens does not know the question.
var errNotServed = errors.New("it is not served there")

// answers says whether somebody listens on the socket.
func answers(socket string) bool {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// callWith is call with something to send.
func callWith(ctx context.Context, socket, method, path string, body io.Reader, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := overSocket(socket)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://plumb"+path, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w at %s (does it run? is --socket right?): %w", errNoAnswer, socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s %s: %w", method, path, errNotServed)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, strings.TrimSpace(string(text)))
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// overSocket is a client that speaks to one socket, whatever the URL.
func overSocket(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
}
