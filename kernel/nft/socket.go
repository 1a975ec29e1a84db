package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// receiveSize is the buffer that replies are read into. The kernel makes the
// messages of a dump as long as the longest buffer seen on the socket, up to
// 32 KB (net/netlink/af_netlink.c, max_recvmsg_len); long ones matter, because
// each one of a set's dump begins by skipping all elements before it.
const receiveSize = 64 << 10

// queueSize holds the replies to a transaction with many rules or errors, and a
// burst of events.
const queueSize = 8 << 20

// kernelError is an error that the kernel gave for a message.
type kernelError struct {
	errno syscall.Errno
	text  string // NLMSGERR_ATTR_MSG, mostly empty
}

func (e *kernelError) Error() string {
	if e.text != "" {
		return e.errno.Error() + ": " + e.text
	}
	return e.errno.Error()
}

func (e *kernelError) Unwrap() error { return e.errno }

// socket is a netlink socket to nf_tables. nf_tables works synchronously: when
// a request is sent, its answer is there to be read.
type socket struct {
	conn *netlink.Conn
	raw  syscall.RawConn
	buf  []byte
	out  []byte
	seq  uint32
	room int // what the send buffer holds

	pieces int // datagrams with messages of the last answer
}

func openSocket() (*socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			return nil, fmt.Errorf("the kernel has no nfnetlink (CONFIG_NETFILTER_NETLINK): %w", err)
		}
		return nil, err
	}
	s := &socket{conn: conn, buf: make([]byte, receiveSize), seq: 1}
	s.raw, err = conn.SyscallConn()
	// Error reports without the message they are about (it may have 64 KB), but
	// with the place in it.
	for _, o := range []netlink.ConnOption{netlink.CapAcknowledge, netlink.ExtendedAcknowledge} {
		if err == nil {
			err = conn.SetOption(o, true)
		}
	}
	if err == nil {
		err = conn.SetReadBuffer(queueSize)
	}
	if err == nil {
		s.room, err = conn.WriteBuffer()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// send gives b to the kernel in one system call.
func (s *socket) send(b []byte) error {
	if len(b)+1024 > s.room {
		// Beyond net.core.wmem_max this needs CAP_NET_ADMIN in the first user
		// namespace; without, a message too long is refused with EMSGSIZE.
		if err := s.conn.SetWriteBuffer(len(b) + len(b)/4 + 1024); err != nil {
			return err
		}
		var err error
		if s.room, err = s.conn.WriteBuffer(); err != nil {
			return err
		}
	}
	var err error
	if e := s.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return err != unix.EAGAIN && err != unix.EINTR
	}); e != nil {
		return e
	}
	return err
}

// receive reads what is there, at most one datagram; EAGAIN where there is
// nothing. The bytes are valid until the next call.
func (s *socket) receive() ([]byte, error) {
	var n int
	var err error
	if e := s.raw.Control(func(fd uintptr) { n, err = recv(fd, s.buf) }); e != nil {
		return nil, e
	}
	return s.buf[:max(n, 0)], err
}

func recv(fd uintptr, buf []byte) (n int, err error) {
	for {
		n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// message is a netlink message; body begins with the nfgenmsg.
type message struct {
	typ, flags uint16
	seq, pid   uint32
	body       []byte
}

// nextMessage splits the first message off b.
func nextMessage(b []byte) (m message, rest []byte, err error) {
	if len(b) < unix.NLMSG_HDRLEN {
		return m, nil, errShort
	}
	n := int(binary.NativeEndian.Uint32(b))
	if n < unix.NLMSG_HDRLEN || n > len(b) {
		return m, nil, errShort
	}
	m = message{
		typ:   binary.NativeEndian.Uint16(b[4:]),
		flags: binary.NativeEndian.Uint16(b[6:]),
		seq:   binary.NativeEndian.Uint32(b[8:]),
		pid:   binary.NativeEndian.Uint32(b[12:]),
		body:  b[unix.NLMSG_HDRLEN:n],
	}
	return m, b[min(align4(n), len(b)):], nil
}

// nft says which nf_tables message it is; family and attrs are its content.
func (m message) nft() (msg byte, family byte, as []byte, ok bool) {
	if m.typ>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.body) < sizeofGenmsg {
		return 0, 0, nil, false
	}
	return byte(m.typ), m.body[0], m.body[sizeofGenmsg:], true
}

const sizeofGenmsg = 4 // struct nfgenmsg

// error is the content of an NLMSG_ERROR message: nil for an acknowledgement,
// and the offset in the request that it is about, 0 where it does not say.
func (m message) error() (err *kernelError, offset int) {
	if len(m.body) < 4 {
		return &kernelError{errno: unix.EBADMSG}, 0
	}
	errno := -int32(binary.NativeEndian.Uint32(m.body))
	if errno == 0 {
		return nil, 0
	}
	err = &kernelError{errno: syscall.Errno(errno)}
	if m.flags&unix.NLM_F_ACK_TLVS == 0 || m.flags&unix.NLM_F_CAPPED == 0 || len(m.body) < 4+unix.NLMSG_HDRLEN {
		return err, 0
	}
	as, _ := parseAttrs(m.body[4+unix.NLMSG_HDRLEN:])
	err.text = as.str(unix.NLMSGERR_ATTR_MSG)
	if b, ok := as.get(unix.NLMSGERR_ATTR_OFFS); ok && len(b) == 4 {
		offset = int(binary.NativeEndian.Uint32(b))
	}
	return err, offset
}

// openMessage appends a message's header to b; closeMessage sets its length.
func openMessage(b []byte, typ, flags uint16, seq uint32, family byte, resID uint16) ([]byte, int) {
	at := len(b)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, family, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, resID), at
}

func closeMessage(b []byte, at int) []byte {
	binary.NativeEndian.PutUint32(b[at:], uint32(len(b)-at))
	return b
}

func nftType(msg byte) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | uint16(msg) }

// request asks for something, and gives each answering message's attributes.
// With unix.NLM_F_DUMP in flags the answer is a list.
func (s *socket) request(msg byte, flags uint16, family byte, as []byte, each func(family byte, as []byte) error) error {
	s.seq = (s.seq + 1) % batchSeq
	b, at := openMessage(s.out[:0], nftType(msg), flags|unix.NLM_F_ACK, s.seq, family, 0)
	b = closeMessage(append(b, as...), at)
	s.out, s.pieces = b, 0
	if err := s.send(b); err != nil {
		return err
	}
	for {
		in, err := s.receive()
		if err != nil {
			return err
		}
		for first := true; len(in) > 0; {
			var m message
			if m, in, err = nextMessage(in); err != nil {
				return err
			}
			if m.seq != s.seq {
				continue // of a request that was given up
			}
			switch m.typ {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				if err, _ := m.error(); err != nil {
					return err
				}
				return nil
			}
			if _, family, as, ok := m.nft(); ok {
				if first {
					s.pieces++
					first = false
				}
				if err := each(family, as); err != nil {
					return err
				}
			}
		}
	}
}
