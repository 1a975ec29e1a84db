package bgp_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/state"
)

// TestMain lets more tests run at a time than there are processors: each is in a
// namespace of its own, and waits for timers nearly all of its time. It is also the
// speaker of the tests that end its process.
func TestMain(m *testing.M) {
	if dir := os.Getenv(processFolder); dir != "" {
		if err := speakerProcess(dir, os.Getenv(processRestarting) != ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const (
	processFolder     = "PLUMB_TEST_SPEAKER"
	processRestarting = "PLUMB_TEST_RESTARTING"
)

// speakerProcess runs a speaker with the objects of a file, and writes what it
// learns, a line each, until it is killed.
func speakerProcess(dir string, restarting bool) error {
	b, err := os.ReadFile(dir + "/objects.json")
	if err != nil {
		return err
	}
	var objects state.Snapshot
	if err := json.Unmarshal(b, &objects); err != nil {
		return err
	}
	s, err := bgp.Open(bgp.Options{
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})), StateDir: dir, Restarting: restarting,
	})
	if err != nil {
		return err
	}
	var changes []state.Change[state.Object]
	for _, o := range objects.Sorted() {
		changes = append(changes, state.Change[state.Object]{Action: state.Add, After: o})
	}
	for _, err := range s.Apply(context.Background(), changes) {
		if err != nil {
			return err
		}
	}
	settled := false
	for {
		b, err := s.Next(context.Background())
		if err != nil {
			return err
		}
		for _, u := range b.Updates {
			if len(u.Paths) == 0 {
				fmt.Println("-", u.Prefix)
			} else {
				fmt.Println("+", u.Prefix, u.Paths[0].NextHop)
			}
		}
		for _, e := range b.EndOfRIBs {
			fmt.Println("end", e.Peer, e.IPv6)
		}
		if b.Sessions {
			for _, e := range s.Sessions() {
				fmt.Println("session", e.Address, e.State, e.Restarting, e.LastError)
			}
		}
		if b.Settled && !settled {
			settled = true
			fmt.Println("settled")
		}
	}
}
