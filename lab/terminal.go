package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// IsTerminal says whether f is one.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// ExecTerminal is Exec for a command that is used at a terminal: it gets one of
// its own, since the kernel gives job control (Ctrl-C, Ctrl-Z) only to the
// session that a terminal belongs to, and stdin's belongs to the caller's.
func (c *Client) ExecTerminal(ctx context.Context, cmd Command) (int, error) {
	outer := cmd.Stdin
	master, slave, err := openPTY()
	if err != nil {
		return 0, err
	}
	defer master.Close()
	defer slave.Close()

	resize := func() {
		if size, err := unix.IoctlGetWinsize(int(outer.Fd()), unix.TIOCGWINSZ); err == nil {
			unix.IoctlSetWinsize(ptyFd(master), unix.TIOCSWINSZ, size) //nolint:errcheck // a size is a help only
		}
	}
	resize()
	winch := make(chan os.Signal, 1)
	signal.Notify(winch, unix.SIGWINCH)
	defer signal.Stop(winch)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-winch:
				resize()
			case <-stop:
				return
			}
		}
	}()

	restore, err := makeRaw(outer)
	if err != nil {
		return 0, err
	}
	defer restore()
	go io.Copy(master, outer) //nolint:errcheck // it ends with the process, or with the master
	shown := make(chan struct{})
	stdout := cmd.Stdout
	go func() {
		io.Copy(stdout, master) //nolint:errcheck // EIO: the last slave is closed
		close(shown)
	}()

	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	code, err := c.exec(ctx, cmd, true)
	slave.Close()
	// What the command wrote last; a job that it left behind may keep the slave open.
	master.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) //nolint:errcheck // a pty has deadlines
	<-shown
	return code, err
}

// openPTY makes a pseudo-terminal; see pts(4).
func openPTY() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	fd := ptyFd(master)
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("terminal: unlock: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("terminal: number: %w", err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	return master, slave, nil
}

// ptyFd is f.Fd() without its side effect of making reads block for good.
func ptyFd(f *os.File) (n int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1
	}
	raw.Control(func(fd uintptr) { n = int(fd) }) //nolint:errcheck // f is open
	return n
}

// makeRaw does what cfmakeraw(3) does and gives what undoes it.
func makeRaw(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	raw := *old
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	return func() { unix.IoctlSetTermios(fd, unix.TCSETS, old) }, nil //nolint:errcheck // the terminal may be gone
}
