package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"plumb": main})
}

// TestScripts tells plumb's stories: each file of testdata/script is one, on a
// node of its own, in a namespace of its own.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				testscript.Run(t, testscript.Params{
					Files: []string{file}, Setup: setup, RequireExplicitExec: true, RequireUniqueNames: true,
					Cmds: map[string]func(*testscript.TestScript, bool, []string){
						"exits": exits, "eventually": eventually, "node": node,
					},
				})
			})
		})
	}
}

func setup(env *testscript.Env) error {
	env.Setenv("PLUMB_FILE", filepath.Join(env.WorkDir, "plumb.yaml"))
	env.Setenv("PLUMB_STATE_DIR", filepath.Join(env.WorkDir, "state"))
	env.Setenv("PLUMB_SOCKET", filepath.Join(env.WorkDir, "plumb.sock"))
	env.Setenv("NODE_NAME", "worker1")
	return nil
}

// exits STATUS COMMAND…: runs a command, and wants that exit status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits status command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, not %d", got, want)
	}
}

// patience is how long eventually tries. A repair takes a few milliseconds; a
// machine that does several things at once takes longer, and may stop a process for seconds.
const patience = 60 * time.Second

// eventually COMMAND (of sh): tries until it succeeds; with !, until it fails.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: eventually 'shell command'")
	}
	var out []byte
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		cmd := exec.CommandContext(ctx, "sh", "-c", args[0])
		cmd.Dir = ts.Getenv("WORK")
		cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"))
		for _, name := range []string{"PLUMB_FILE", "PLUMB_STATE_DIR", "PLUMB_SOCKET", "NODE_NAME"} {
			cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
		}
		var err error
		out, err = cmd.CombinedOutput()
		cancel()
		if (err == nil) != neg {
			return
		}
	}
	ts.Fatalf("within %s not so: %s\n%s", patience, args[0], bytes.TrimSpace(out))
}

// node makes the devices of worker1: an uplink with addresses of both families,
// a VM's tap, and two host ends. Their other ends stay in the namespace.
func node(ts *testscript.TestScript, _ bool, _ []string) {
	for _, line := range []string{
		// Addresses that come up later would be events of the kernel's own.
		"echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad",
		"ip link add eth0 type veth peer name peer0",
		"ip link add tap0 type veth peer name vm0",
		"ip link add plb000000000a1 address ee:ee:ee:ee:ee:ee type veth peer name pod1",
		"ip link add plb000000000a2 address ee:ee:ee:ee:ee:ee type veth peer name pod2",
		"ip addr add 172.18.0.3/16 dev eth0",
		"ip addr add fc00:f853:ccd:e793::3/64 dev eth0 nodad",
		"ip link set eth0 up", "ip link set peer0 up", "ip link set tap0 up", "ip link set vm0 up",
		"ip link set plb000000000a1 up", "ip link set pod1 up", "ip link set plb000000000a2 up", "ip link set pod2 up",
		"ip route add default via 172.18.0.1 dev eth0",
		// The kernel's own addresses come a moment after the links are up.
		"for i in $(seq 1200); do [ $(ip -o -6 addr show scope link | wc -l) -ge 8 ] && exit; sleep 0.05; done; exit 1",
	} {
		if err := ts.Exec("sh", "-c", line); err != nil {
			ts.Fatalf("%s: %v", line, fmt.Errorf("%w", err))
		}
	}
}
