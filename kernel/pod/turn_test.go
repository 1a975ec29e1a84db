package pod

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

func TestOneAfterTheOther(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		first, err := takeTurn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Another process meets the same lock, as a plugin does.
		if err := exec.Command("flock", "--nonblock", "/proc/self/ns/net", "true").Run(); err == nil {
			t.Error("two at a time")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := takeTurn(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("after its context: %v", err)
		}
		second := make(chan func())
		go func() {
			done, err := takeTurn(t.Context())
			if err != nil {
				t.Error(err)
			}
			second <- done
		}()
		select {
		case <-second:
			t.Fatal("the second did not wait")
		default:
		}
		first()
		(<-second)()
	})
}
