package rtnl

import (
	"errors"

	"golang.org/x/sys/unix"
)

var (
	// ErrLost says that replies of the kernel did not fit into the receive buffer
	// (ENOBUFS, netlink(7)): whether the request was carried out is not known.
	ErrLost = errors.New("the kernel's replies were lost")
	// ErrInterrupted says that what was dumped changed meanwhile
	// (NLM_F_DUMP_INTR): the dump may lack objects, or have them twice.
	ErrInterrupted = errors.New("the dump was interrupted by a change")
	// ErrMalformed says that the kernel's answer could not be read.
	ErrMalformed = errors.New("malformed netlink message")
	// ErrTruncated says that a datagram did not fit into the buffer.
	ErrTruncated = errors.New("truncated netlink message")
)

// Error is the kernel's answer to one request: an errno, which errors.Is finds,
// and the kernel's own words where it gave any (NETLINK_EXT_ACK).
type Error struct {
	Errno unix.Errno
	Text  string
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Errno.Error()
	}
	return e.Errno.Error() + ": " + e.Text
}

func (e *Error) Unwrap() error { return e.Errno }

// parseError reads the payload of NLMSG_ERROR (struct nlmsgerr) or, with done, of
// NLMSG_DONE: an errno, then, with NLM_F_ACK_TLVS, attributes. It gives nil for an
// acknowledgement.
func parseError(m Message, done bool) error {
	if len(m.Data) < 4 {
		if done { // NLMSG_DONE need not carry an errno
			return nil
		}
		return ErrMalformed
	}
	code := int32(native.Uint32(m.Data))
	if code >= 0 {
		return nil
	}
	e := &Error{Errno: unix.Errno(-code)}
	if m.Flags&unix.NLM_F_ACK_TLVS == 0 {
		return e
	}
	tlvs := m.Data[4:]
	if !done {
		// the request's header follows; its payload too, unless NETLINK_CAP_ACK cut it off
		skip := headerLen
		if m.Flags&unix.NLM_F_CAPPED == 0 && len(tlvs) >= 4 {
			skip = align(int(min(native.Uint32(tlvs), uint32(len(tlvs)))))
		}
		tlvs = tlvs[min(skip, len(tlvs)):]
	}
	for a, rest, ok := NextAttr(tlvs); ok; a, rest, ok = NextAttr(rest) {
		if a.Type == unix.NLMSGERR_ATTR_MSG {
			e.Text = a.String()
		}
	}
	return e
}
