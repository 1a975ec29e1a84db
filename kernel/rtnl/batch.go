package rtnl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// batchBytes is the size of one datagram of requests: at 128 KB the system call
// costs nothing any more, and all its replies fit into the receive buffer.
const batchBytes = 128 << 10

// Batch sends many requests in one system call. They carry no NLM_F_ACK: when
// sendto(2) returns, the kernel has carried out every one of them
// (netlink_rcv_skb, net/netlink/af_netlink.c), and only those that failed, or ask
// for something, have put a reply into the socket's receive buffer. Requests are
// independent of each other: one that fails stops no other.
//
// The callbacks come from Message and Flush, with the id that was given to
// Message; each may be nil.
type Batch struct {
	Failed func(id int, err error) // *Error, or what made sendto fail
	Reply  func(id int, m Message) // an answer to a request that asked for something
	Lost   func(id int)            // ErrLost: it may have failed; ids that are known to have failed come too
	Max    int                     // requests per system call, where replies are large; 0: as many as fit

	s     *Socket
	first uint32 // the sequence number of ids[0]
	ids   []int
	open  bool
}

// Batch starts a batch on s. One batch at a time may be in use.
func (s *Socket) Batch() *Batch {
	s.out.buf = s.out.buf[:0]
	return &Batch{s: s}
}

// Message starts a request and gives the encoder to write its header and
// attributes to; it is complete with the next Message or with Flush. What was
// collected is sent first when it is much.
func (b *Batch) Message(typ, flags uint16, id int) *Encoder {
	b.end()
	if len(b.s.out.buf) >= batchBytes || b.Max > 0 && len(b.ids) >= b.Max {
		b.Flush()
	}
	b.s.seq++
	if len(b.ids) == 0 {
		b.first = b.s.seq
	}
	b.ids = append(b.ids, id)
	b.s.out.Begin(typ, flags, b.s.seq)
	b.open = true
	return &b.s.out
}

func (b *Batch) end() {
	if b.open {
		b.s.out.End()
		b.open = false
	}
}

// Flush sends what was collected and reads all replies.
func (b *Batch) Flush() {
	b.end()
	if len(b.ids) == 0 {
		return
	}
	err := b.s.send(b.s.out.buf)
	b.s.out.buf = b.s.out.buf[:0]
	switch {
	case err != nil:
		err = fmt.Errorf("send to %s: %w", b.s.name, err)
		for _, id := range b.ids {
			b.failed(id, err)
		}
	case !b.drain() && b.Lost != nil:
		for _, id := range b.ids {
			b.Lost(id)
		}
	}
	b.ids = b.ids[:0]
}

// drain reads the replies to what was sent; false where some were lost.
func (b *Batch) drain() (complete bool) {
	complete = true
	for {
		buf, err := b.s.receive(unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return complete
		case errors.Is(err, ErrLost), errors.Is(err, ErrTruncated):
			complete = false
			continue
		case err != nil:
			return false
		}
		for m, rest, ok := NextMessage(buf); ok; m, rest, ok = NextMessage(rest) {
			i := m.Seq - b.first
			if i >= uint32(len(b.ids)) {
				continue // of an earlier request
			}
			if m.Type != unix.NLMSG_ERROR {
				if b.Reply != nil {
					b.Reply(b.ids[i], m)
				}
			} else if err := parseError(m, false); err != nil {
				b.failed(b.ids[i], err)
			}
		}
	}
}

func (b *Batch) failed(id int, err error) {
	if b.Failed != nil {
		b.Failed(id, err)
	}
}
