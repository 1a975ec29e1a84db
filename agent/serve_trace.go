package agent

import (
	"encoding/json"
	"net/http"

	"github.com/plumbnet/plumb/trace/facts"
)

// maxQuestion bounds what is read of a request.
const maxQuestion = 64 << 10

// serveTrace adds what plumb trace asks. It is only for who may open the socket: it
// looks into pods, and sends packets.
func (a *agent) serveTrace(mux *http.ServeMux) {
	a.livePaths(mux)
	mux.HandleFunc("POST /trace", func(w http.ResponseWriter, r *http.Request) {
		var q facts.Question
		if !read(w, r, &q) || !check(w, q.Packet) {
			return
		}
		n, err := a.looker().look(r.Context(), q)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(n)
	})
}

// read decodes a request, or answers what is wrong with it.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		http.Error(w, "the question cannot be read (are all of one version?): "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func check(w http.ResponseWriter, packets ...facts.Packet) bool {
	for _, p := range packets {
		if err := p.Check(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return false
		}
	}
	return true
}
