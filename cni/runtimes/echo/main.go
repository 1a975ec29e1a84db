// Command echo is the only process of the containers that the tests make.
//
//	echo UDP-PORT TCP-PORT   answer datagrams with the same datagram (RFC 862), and
//	                         over TCP say which of a list of addresses do so as well
//	echo ask ADDRESS:PORT    pass such a list from standard input, and print the answer
//
// A list is one IP address a line, up to the end of writing; the answer is those that
// were silent, a line each.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"
)

// An address is asked again after again, and called silent after silence.
const (
	again   = 250 * time.Millisecond
	silence = 20 * time.Second
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("echo: ")
	if len(os.Args) != 3 {
		log.Fatal("usage: echo UDP-PORT TCP-PORT | echo ask ADDRESS:PORT")
	}
	run := serve
	if os.Args[1] == "ask" {
		run = ask
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

// ask puts a question to another echo.
func ask(_, server string) error {
	conn, err := net.DialTimeout("tcp", server, silence)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.Copy(conn, os.Stdin); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, conn)
	return err
}

func serve(udpPort, tcpPort string) error {
	// The wildcard address takes datagrams and connections of both families.
	udp, err := net.ListenPacket("udp", ":"+udpPort)
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", ":"+tcpPort)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- echo(udp.(*net.UDPConn)) }()
	go func() { failed <- answer(tcp, udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()) }()
	return <-failed
}

// echo sends every datagram back.
func echo(conn *net.UDPConn) error {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		// An answer that cannot be sent is one that the asker misses.
		conn.WriteToUDPAddrPort(buf[:n], from) //nolint:errcheck // see above
	}
}

// answer answers what it is asked; port is where echoes listen.
func answer(l net.Listener, port uint16) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := reply(conn, port); err != nil {
				log.Print(err)
			}
		}()
	}
}

// reply reads one question and answers it.
func reply(conn net.Conn, port uint16) error {
	var who []netip.Addr
	in := bufio.NewScanner(conn)
	for in.Scan() {
		a, err := netip.ParseAddr(in.Text())
		if err != nil {
			return err
		}
		who = append(who, a)
	}
	if err := in.Err(); err != nil {
		return err
	}
	silent, err := probe(who, port)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(conn)
	for _, a := range silent {
		fmt.Fprintln(out, a)
	}
	return out.Flush()
}

// probe gives those addresses whose echo did not answer, sorted.
func probe(who []netip.Addr, port uint16) (silent []netip.Addr, err error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	waiting := map[netip.Addr]bool{}
	for _, a := range who {
		waiting[a] = true
	}
	buf := make([]byte, 1500)
	for deadline := time.Now().Add(silence); len(waiting) > 0 && time.Now().Before(deadline); {
		for a := range waiting {
			// No route yet is silence too: another turn follows.
			conn.WriteToUDPAddrPort([]byte("plumb"), netip.AddrPortFrom(a, port)) //nolint:errcheck // see above
		}
		if err := conn.SetReadDeadline(time.Now().Add(again)); err != nil {
			return nil, err
		}
		for len(waiting) > 0 {
			_, from, err := conn.ReadFromUDPAddrPort(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			// An ICMP error about one address, which the socket does not name.
			if err == nil {
				delete(waiting, from.Addr().Unmap())
			}
		}
	}
	for a := range waiting {
		silent = append(silent, a)
	}
	slices.SortFunc(silent, netip.Addr.Compare)
	return silent, nil
}
