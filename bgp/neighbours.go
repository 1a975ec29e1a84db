package bgp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// neighbours are the addresses of dynamic neighbours, kept in a file: after a
// restart they have to be known.
type neighbours struct {
	path string // empty: nowhere

	mu   sync.Mutex
	list []netip.Addr // sorted
}

const neighboursName = "bgp-neighbours.json"

func openNeighbours(stateDir string) (*neighbours, error) {
	n := &neighbours{}
	if stateDir == "" {
		return n, nil
	}
	n.path = filepath.Join(stateDir, neighboursName)
	b, err := os.ReadFile(n.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return n, nil
	case err != nil:
		return n, fmt.Errorf("dynamic neighbours: %w", err)
	}
	if err := json.Unmarshal(b, &n.list); err != nil {
		return n, fmt.Errorf("dynamic neighbours: %s: %w", n.path, err)
	}
	return n, nil
}

// in gives those within the prefix.
func (n *neighbours) in(p netip.Prefix) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []netip.Addr
	for _, a := range n.list {
		if p.Contains(a) {
			out = append(out, a)
		}
	}
	return out
}

// note writes down that an address is there, or is not.
func (n *neighbours) note(a netip.Addr, there bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i, found := slices.BinarySearchFunc(n.list, a, netip.Addr.Compare)
	switch {
	case found == there:
		return nil
	case there:
		n.list = slices.Insert(n.list, i, a)
	default:
		n.list = slices.Delete(n.list, i, i+1)
	}
	return n.save()
}

// save is called with mu held.
func (n *neighbours) save() error {
	if n.path == "" {
		return nil
	}
	b, err := json.Marshal(n.list)
	if err != nil {
		return err
	}
	// Put in place whole: a crash leaves the old list or the new one.
	next := n.path + ".new"
	return errors.Join(os.WriteFile(next, b, 0o600), os.Rename(next, n.path))
}

// noteNeighbours keeps the list of dynamic neighbours, when a session is up: one that
// restarts gracefully stays on it.
func (s *Speaker) noteNeighbours(peer netip.Addr, group string) {
	if group == "" {
		if c := s.current.Load(); c == nil || !c.isDynamic(peer) {
			return
		}
	}
	if err := s.neighbours.note(peer, true); err != nil {
		s.log.Warn("a dynamic neighbour will not be known after a restart", "peer", peer, "err", err)
	}
}

func (c *config) isDynamic(a netip.Addr) bool {
	p, ok := c.peerAt(a)
	return ok && p.Prefix.IsValid()
}
