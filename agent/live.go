package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/plumbnet/plumb/kernel/nft"
	"github.com/plumbnet/plumb/kernel/path"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/trace/facts"
)

// liveTime bounds a watch for a probe, should nobody end it.
const liveTime = 10 * time.Second

// Live watches what packets like these meet in this node's nftables, until ctx ends.
func Live(ctx context.Context, packets []facts.Packet, say func(facts.Live)) {
	ctx, cancel := context.WithTimeout(ctx, liveTime)
	defer cancel()
	err := nft.Live(ctx, packets, func() { say(facts.Live{Armed: true}) }, func(s facts.Seen) { say(facts.Live{Seen: &s}) })
	if err != nil {
		say(facts.Live{Err: err.Error()})
	}
}

// Send sends a probe from this node or one of its endpoints, without an agent.
func (o *Once) Send(ctx context.Context, s facts.Send) (facts.Sent, error) {
	return o.looker().send(ctx, s)
}

func (l *looker) send(ctx context.Context, s facts.Send) (sent facts.Sent, err error) {
	if s.Endpoint == "" {
		sent, err = path.Send(ctx, s.Packet)
		return sent, sending(err)
	}
	netns := ""
	if err := l.know(ctx, func(_ *reconcile.Engine, src *sources) {
		if e := src.endpoints[s.Endpoint]; e != nil {
			netns = e.NetNS
		}
	}); err != nil {
		return sent, err
	}
	if netns == "" {
		return sent, fmt.Errorf("endpoint %s: its record names no network namespace to send from", s.Endpoint)
	}
	var inside error
	if err = path.Within(netns, func() error {
		sent, inside = path.Send(ctx, s.Packet)
		return nil
	}); err != nil {
		return sent, closed(netns, err)
	}
	return sent, sending(inside)
}

// livePaths adds what --live asks of an agent.
func (a *agent) livePaths(mux *http.ServeMux) {
	mux.HandleFunc("POST /live", func(w http.ResponseWriter, r *http.Request) {
		var packets []facts.Packet
		if !read(w, r, &packets) || !check(w, packets...) {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		out, flush := json.NewEncoder(w), http.NewResponseController(w)
		// It ends with the client, who goes away when it has seen enough.
		ctx, done := context.WithCancel(r.Context())
		defer done()
		Live(ctx, packets, func(l facts.Live) {
			if out.Encode(l) != nil || flush.Flush() != nil {
				done()
			}
		})
	})
	mux.HandleFunc("POST /probe", func(w http.ResponseWriter, r *http.Request) {
		var s facts.Send
		if !read(w, r, &s) || !check(w, s.Packet) {
			return
		}
		sent, err := a.looker().send(r.Context(), s)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(sent)
	})
}
