package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/osrg/gobgp/v3/pkg/log"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// serverLog is GoBGP's log. What it says of sessions is the only place where it
// tells why one ended, so the sentences that do are read here; the speaker says them
// in its own words. The rest goes to the log at the level debug.
type serverLog struct {
	speaker *Speaker
	log     *slog.Logger
	// down counts the sessions that this node calls in vain: while there are any,
	// GoBGP is asked for its debugging messages, for only they say why.
	down atomic.Int32

	mu        sync.Mutex
	unknown   map[string]bool       // addresses that called and are nobody's
	malformed map[netip.Addr]string // what was wrong with a message, until the session has ended
	repeats   map[string]*repeat
}

func (l *serverLog) Panic(msg string, f log.Fields) {
	l.log.Error("BGP: "+msg, attributes(f)...)
	panic("gobgp: " + msg)
}

// Fatal would end the process in GoBGP's own log. What it is called for is either
// an error that is returned too, or a state that it can go on from.
func (l *serverLog) Fatal(msg string, f log.Fields) { l.Error(msg, f) }

func (l *serverLog) Error(msg string, f log.Fields) {
	if !l.read(msg, f) {
		l.log.Error("BGP: "+msg, attributes(f)...)
	}
}

func (l *serverLog) Warn(msg string, f log.Fields) { l.other(msg, f) }
func (l *serverLog) Info(msg string, f log.Fields) { l.other(msg, f) }
func (l *serverLog) SetLevel(log.LogLevel)         {}

// Debug is called for every route.
func (l *serverLog) Debug(msg string, f log.Fields) {
	if msg == failedToConnect {
		l.read(msg, f)
	}
}

const failedToConnect = "failed to connect"

func (l *serverLog) GetLevel() log.LogLevel {
	if l.down.Load() > 0 {
		return log.DebugLevel
	}
	return log.InfoLevel
}

func (l *serverLog) other(msg string, f log.Fields) {
	if !l.read(msg, f) && l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("gobgp: "+msg, attributes(f)...)
	}
}

func attributes(f log.Fields) []any {
	out := make([]any, 0, len(f))
	for k, v := range f {
		if k != "Topic" {
			out = append(out, slog.Any(strings.ToLower(k), v))
		}
	}
	return out
}

// read takes what is of use; false: nothing is.
func (l *serverLog) read(msg string, f log.Fields) bool {
	key, _ := f["Key"].(string)
	peer, err := netip.ParseAddr(key)
	if err != nil || peer == gateAddress {
		return peer == gateAddress
	}
	s := l.speaker
	switch msg {
	case "Peer Up":
		s.noteUp(peer)
		return false
	case "Peer Down":
		s.noteReason(peer, reasonWords(fmt.Sprint(f["Reason"])))
	case "received notification":
		s.noteError(peer, "the peer ended the session: "+notification(f))
	case "sent notification":
		s.noteError(peer, "this node ended the session: "+l.withMalformed(peer, notification(f)))
	case "hold timer expired":
		s.noteError(peer, "hold timer expired: nothing was heard from the peer")
	case "graceful restart timer expired":
		s.noteError(peer, "the peer did not come back within its restart time")
		l.log.Warn("BGP: the peer's restart time is over, its routes are dropped", "peer", s.nameOf(peer))
	case "prefix limit reached":
		s.noteError(peer, "the peer announces more prefixes than maxPrefixes allows")
		s.sawLimit(peer)
	case failedToConnect:
		s.noteError(peer, connectWords(fmt.Sprint(f["Error"])))
	case "failed to set md5", "failed to unset md5":
		l.log.Error("BGP: the password cannot be set, and those who call are not asked for it", "peer", s.nameOf(peer), "err", f["Err"])
	case "cannot set TTL for peer":
		l.log.Error("BGP: the TTL cannot be set", "peer", s.nameOf(peer), "err", f["Error"])
	case "Session will be reset due to malformed BGP Header", "Session will be reset due to malformed BGP message",
		"Session will be reset due to malformed BGP update message", "Session will be reset due to a message out of place":
		l.noteMalformed(peer, f)
	case "Session will be reset due to a message that cannot be read":
		l.noteMalformed(peer, f)
		l.log.Error("BGP: a message could not be read, and ends the session; please report it", "peer", s.nameOf(peer), "err", f["Error"])
		l.log.Debug("BGP: where it could not be read", "peer", s.nameOf(peer), "stack", f["Stack"])
	case "the received Update message was treated as withdraw":
		l.warn(peer, "BGP: malformed update; its prefixes are taken for withdrawn (RFC 7606)", f["Error"])
	case "Some attributes were discarded":
		l.warn(peer, "BGP: parts of an update were discarded (RFC 7606)", f["Error"])
	case "failed to serialize":
		l.warn(peer, "BGP: an update cannot be sent; the peer does not get its routes", f["Data"])
	case "Route family isn't supported":
		l.warn(peer, "BGP: the peer asks for routes of a family that the session does not have", f["Family"])
	case "Can't find configuration for a new passive connection":
		l.sayUnknown(key)
	case "Mismatched local address":
		s.noteError(peer, fmt.Sprintf("the peer called %v, and the session is of the source address %v", f["Addr"], f["Configured addr"]))
	case "failed to close existing tcp connection": // of a peer that is deleted; it was closed before
	default:
		return false
	}
	return true
}

// sayUnknown says once of each address that it called in vain.
func (l *serverLog) sayUnknown(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unknown == nil || len(l.unknown) > 1000 {
		l.unknown = map[string]bool{}
	}
	if !l.unknown[address] {
		l.unknown[address] = true
		l.log.Info("BGP: a connection was refused: no peer has this address", "address", address)
	}
}

// notification puts RFC 4271's codes into words, and what the peer says for people
// (RFC 8203).
func notification(f log.Fields) string {
	code, ok1 := f["Code"].(uint8)
	subcode, ok2 := f["Subcode"].(uint8)
	var text string
	switch m, isError := f["Data"].(*packet.MessageError); {
	case ok1 && ok2:
		text = codeWords(code, subcode)
	case isError:
		text = codeWords(m.TypeCode, m.SubTypeCode)
		if m.Message != "" {
			text += ": " + m.Message
		}
	default:
		return "without a reason"
	}
	if said, ok := f["Communicated-Reason"].(string); ok && said != "" {
		text += fmt.Sprintf(": %q", said)
	}
	return text
}

// codeWords takes the names out of "code 6(cease) subcode 2(administrative
// shutdown)".
func codeWords(code, subcode uint8) string {
	text := packet.NewNotificationErrorCode(code, subcode).String()
	var names []string
	for part := range strings.SplitSeq(text, "(") {
		if name, _, ok := strings.Cut(part, ")"); ok && name != "undefined" && name != "unspecific" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return text
	}
	return strings.Join(names, ", ")
}

// reasonWords says GoBGP's reasons in words; empty where another message says more.
func reasonWords(reason string) string {
	switch {
	case strings.HasPrefix(reason, "notification"):
		return ""
	case reason == "graceful-restart", reason == "read-failed", reason == "write-failed":
		return "the connection was lost"
	case reason == "hold-timer-expired":
		return "hold timer expired: nothing was heard from the peer"
	case reason == "dying", reason == "admin-down":
		return "the session was taken down here"
	case reason == "hard-reset":
		return "the peer ended the session for good (RFC 8538)"
	}
	return reason
}

func connectWords(err string) string {
	switch {
	case strings.Contains(err, "i/o timeout"), strings.Contains(err, "timed out"):
		return "cannot connect: no answer; is the peer there, and is the password the same?"
	case strings.Contains(err, "refused"):
		return "cannot connect: the peer does not listen, or does not know this node"
	}
	_, cause, found := strings.Cut(err, "connect: ")
	if !found {
		cause = err
	}
	return "cannot connect: " + cause
}
