package lab_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// The test's own program is both ends of a TCP stream, in the lab's pods.
const (
	streamListen  = "plumb-test-stream-listen"
	streamConnect = "plumb-test-stream-connect"
)

// stream carries out the command line of an end, and says whether it was one.
func stream(args []string) bool {
	if len(args) != 3 {
		return false
	}
	var err error
	switch args[1] {
	case streamListen:
		err = echoStream(args[2])
	case streamConnect:
		err = countStream(args[2])
	default:
		return false
	}
	fmt.Println("broken:", err)
	return true
}

// echoStream sends back what it gets on one connection.
func echoStream(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = io.Copy(conn, conn)
	return errors.Join(err, io.EOF)
}

// countStream sends a number each millisecond, wants each back, and prints a line for
// every hundredth, until something is amiss.
func countStream(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for i := 0; ; i++ {
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(conn, i); err != nil {
			return err
		}
		if got, err := answers.ReadString('\n'); err != nil || got != fmt.Sprintln(i) {
			return fmt.Errorf("number %d came back as %q: %w", i, got, err)
		}
		if i%100 == 0 {
			fmt.Fprintln(os.Stdout, i)
		}
		time.Sleep(time.Millisecond)
	}
}
