// Package notify tells the service manager how a daemon is, as sd_notify(3) does.
// Where no service manager asks, nothing is said.
package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Assignments that systemd knows.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
)

// Status is one line for people, shown by systemctl status.
func Status(format string, args ...any) string {
	return "STATUS=" + strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
}

// Reloading says that the configuration is being read; Ready ends it.
func Reloading() (string, error) {
	// CLOCK_MONOTONIC, in microseconds: by it systemd orders two that cross.
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "", fmt.Errorf("notify: %w", err)
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000), nil
}

// Socket gives the address that the service manager listens on; empty: none asks.
func Socket() string { return os.Getenv("NOTIFY_SOCKET") }

// Watchdog gives how often the service manager wants to hear Alive, or zero. It
// kills who is silent for twice as long.
func Watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0 // it asks our parent
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}

// patience is how long a service manager whose queue is full is waited for.
const patience = time.Second

// Send sends assignments in one datagram to a socket, and nowhere where that is
// empty.
func Send(socket string, assignments ...string) error {
	if socket == "" {
		return nil
	}
	// A name that begins with @ is an abstract one (unix(7)), for net as for systemd.
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	err = conn.SetWriteDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = conn.Write([]byte(strings.Join(assignments, "\n")))
	}
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}
