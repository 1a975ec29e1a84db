package bgp

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listeners gives the sockets that listen on a TCP port in this network namespace, as
// links of /proc/PID/fd name them.
func listeners(port int) map[string]bool {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		listening(table, port, sockets)
	}
	return sockets
}

// ownerOf names the program that has one of the sockets, as /proc tells it; empty where
// it does not (a program of another PID namespace, say). It looks at every process.
func ownerOf(sockets map[string]bool) string {
	if len(sockets) == 0 {
		return ""
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/fd")
	for _, folder := range processes {
		fds, _ := os.ReadDir(folder) // of one that is gone, or another user's: nothing
		for _, fd := range fds {
			target, err := os.Readlink(filepath.Join(folder, fd.Name()))
			if err != nil || !sockets[target] {
				continue
			}
			process := filepath.Dir(folder)
			name, err := os.ReadFile(filepath.Join(process, "comm"))
			if err != nil {
				continue
			}
			return fmt.Sprintf("%s's (process %s)", strings.TrimSpace(string(name)), filepath.Base(process))
		}
	}
	return ""
}

// listening notes the sockets of a table that listen on the port. One of its lines
// (Documentation/networking/proc_net_tcp.rst):
//
//	0: 00000000:00B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 31337 …
func listening(table string, port int, sockets map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	const local, state, inode, listen = 1, 3, 9, "0A"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		w := strings.Fields(lines.Text())
		if len(w) <= inode || w[state] != listen {
			continue
		}
		_, hex, _ := strings.Cut(w[local], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
			sockets["socket:["+w[inode]+"]"] = true
		}
	}
}
