package supervisor

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/lab/ns"
)

// reaper does PID 1's duty towards processes that lost their parents, without
// taking away the exit status of those that the supervisor started itself.
type reaper struct {
	mu  sync.Mutex
	own map[int]bool // started here, waited for elsewhere
}

// start starts a command, which the caller must wait for with wait.
func (r *reaper) start(cmd *exec.Cmd) error {
	r.mu.Lock() // until the process is known, run must not see it end
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	if r.own == nil {
		r.own = map[int]bool{}
	}
	r.own[cmd.Process.Pid] = true
	return nil
}

func (r *reaper) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	delete(r.own, cmd.Process.Pid)
	r.mu.Unlock()
	return err
}

// runIn runs a command in a namespace and waits for it.
func (r *reaper) runIn(name string, cmd *exec.Cmd) error {
	if err := ns.Do(name, func() error { return r.start(cmd) }); err != nil {
		return err
	}
	return r.wait(cmd)
}

// run reaps orphans until ctx ends.
func (r *reaper) run(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	defer signal.Stop(died)
	for {
		select {
		case <-ctx.Done():
			return
		case <-died:
			r.reap()
		}
	}
}

func (r *reaper) reap() {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// PID (NAME) STATE PPID …, where NAME may hold anything.
		text := string(b)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && len(fields) > 1 && fields[0] == "Z" && fields[1] == "1" && !r.own[pid] {
			unix.Wait4(pid, nil, unix.WNOHANG, nil) //nolint:errcheck // it is gone then
		}
	}
}
