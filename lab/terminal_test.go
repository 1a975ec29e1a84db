package lab_test

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/lab"
)

// At a terminal a command has job control: Ctrl-C reaches it, and the size of
// the window is that of the user's.
func TestExecAtATerminal(t *testing.T) {
	asUsers(t, func(t *testing.T, c *cluster) {
		c.ok("up")
		master, slave, err := lab.OpenPTY()
		if err != nil {
			t.Fatal(err)
		}
		defer master.Close()
		if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 101}); err != nil {
			t.Fatal(err)
		}
		cmd := c.command("exec", "node1", "--", "sh", "-c", `trap 'echo interrupted; exit 9' INT
			stty size; ps -o tty= -p $$; echo ready; while :; do sleep 0.02; done`)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Credential: c.as}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		slave.Close()
		if out := readUntil(t, master, "ready"); !strings.Contains(out, "33 101") || !strings.Contains(out, "pts/") {
			t.Errorf("at the terminal:\n%s", out)
		}
		if _, err := master.Write([]byte{3}); err != nil { // Ctrl-C
			t.Fatal(err)
		}
		readUntil(t, master, "interrupted")
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 9 {
			t.Errorf("exit status %d, want the trap's 9", code)
		}
	})
}

func readUntil(t *testing.T, f *os.File, text string) string {
	t.Helper()
	f.SetReadDeadline(time.Now().Add(time.Minute))
	var all []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(all, []byte(text)) {
		n, err := f.Read(buf)
		if err != nil {
			t.Fatalf("%q is not written: %v; it wrote:\n%s", text, err, all)
		}
		all = append(all, buf[:n]...)
	}
	return string(all)
}
