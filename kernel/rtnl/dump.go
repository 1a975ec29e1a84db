package rtnl

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Dump asks for all objects of a kind (NLM_F_DUMP) and calls each with every
// message of the answer. The request is typ with what body writes; the kernel
// checks it strictly, and so honours the filters in it (NETLINK_GET_STRICT_CHK,
// netlink(7)). The message is valid during the call.
//
// Errors: what each gave; *Error; ErrInterrupted, after everything was given;
// ErrLost, ErrTruncated, ErrMalformed; the context's.
func (s *Socket) Dump(ctx context.Context, typ uint16, body func(*Encoder), each func(Message) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.seq++
	s.out.buf = s.out.buf[:0]
	s.out.Begin(typ, unix.NLM_F_DUMP, s.seq)
	body(&s.out)
	s.out.End()
	if err := s.send(s.out.buf); err != nil {
		return fmt.Errorf("send to %s: %w", s.name, err)
	}
	d := dump{seq: s.seq, each: each}
	for !d.done {
		buf, err := s.receive(0)
		switch {
		case errors.Is(err, ErrLost):
			d.fail(err)
			continue // a dump goes on after a loss
		case err != nil && !errors.Is(err, ErrTruncated):
			d.fail(fmt.Errorf("receive from %s: %w", s.name, err))
			return d.err
		}
		d.fail(err)
		d.fail(ctx.Err())
		d.datagram(buf)
	}
	if d.err == nil && d.interrupted {
		return ErrInterrupted
	}
	return d.err
}

// dump is one answer in progress. After an error it is still read to its end:
// until then the kernel refuses the socket's next dump (EBUSY).
type dump struct {
	seq         uint32
	each        func(Message) error
	err         error
	interrupted bool
	done        bool
}

func (d *dump) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *dump) datagram(b []byte) {
	for len(b) > 0 {
		m, rest, ok := NextMessage(b)
		if !ok {
			d.fail(ErrMalformed)
			return
		}
		b = rest
		if m.Seq != d.seq {
			continue
		}
		d.interrupted = d.interrupted || m.Flags&unix.NLM_F_DUMP_INTR != 0
		switch m.Type {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			d.fail(parseError(m, m.Type == unix.NLMSG_DONE))
			d.done = true
			return
		case unix.NLMSG_NOOP:
		default:
			if d.err == nil {
				d.fail(d.each(m))
			}
		}
	}
}
