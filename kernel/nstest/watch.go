package nstest

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// Watch starts a watch that lives until the test ends; then it sees that the watch
// leaves no goroutine behind within the time given.
func Watch(t *testing.T, within time.Duration, start func(context.Context) error) {
	t.Helper()
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	if err := start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		for end := time.Now().Add(within); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%d goroutines before the watch, %d after", before, runtime.NumGoroutine())
				return
			}
		}
	})
}
