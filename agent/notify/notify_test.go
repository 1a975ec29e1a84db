package notify

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

func TestSend(t *testing.T) {
	for _, address := range []string{filepath.Join(t.TempDir(), "s"), "@plumb-test-notify-" + strconv.Itoa(os.Getpid())} {
		l, err := net.ListenPacket("unixgram", address)
		if err != nil {
			t.Fatal(err)
		}
		reloading, err := Reloading()
		if err != nil {
			t.Fatal(err)
		}
		if err := Send(address, reloading, Ready, Status("one\n%s", "line")); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 256)
		n, _, err := l.ReadFrom(buf)
		want := regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9]\d*\nREADY=1\nSTATUS=one line$`)
		if err != nil || !want.Match(buf[:n]) {
			t.Errorf("got %q, %v", buf[:n], err)
		}
		l.Close()
		if err := Send(address, Ready); err == nil {
			t.Error("nobody listens, and that is no error")
		}
	}
	if err := Send("", Ready); err != nil {
		t.Errorf("nobody asks: %v", err)
	}
}

func TestWatchdog(t *testing.T) {
	for _, tc := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0},
		{"30000000", "", 15 * time.Second},
		{"30000000", strconv.Itoa(os.Getpid()), 15 * time.Second},
		{"30000000", "1", 0},
		{"often", "", 0},
		{"-1", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", tc.usec)
		t.Setenv("WATCHDOG_PID", tc.pid)
		if got := Watchdog(); got != tc.want {
			t.Errorf("%v: got %s", tc, got)
		}
	}
}
