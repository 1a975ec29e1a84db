package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/osrg/gobgp/v3/pkg/log"
)

// noteMalformed keeps what was wrong with a message, for the words that say how the
// session ended: GoBGP says the one and the other in two.
func (l *serverLog) noteMalformed(peer netip.Addr, f log.Fields) {
	why := f["Error"]
	if why == nil {
		why = f["error"]
	}
	l.mu.Lock()
	if l.malformed == nil || len(l.malformed) > 1000 {
		l.malformed = map[netip.Addr]string{}
	}
	l.malformed[peer] = fmt.Sprint(why)
	l.mu.Unlock()
	// The notification may not go out any more.
	if f["State"] == "BGP_FSM_ESTABLISHED" {
		l.speaker.noteError(peer, fmt.Sprintf("the peer sent a malformed message: %v", why))
	}
}

// withMalformed puts behind the words of a notification what was wrong.
func (l *serverLog) withMalformed(peer netip.Addr, words string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	why, ok := l.malformed[peer]
	delete(l.malformed, peer)
	if !ok || strings.HasSuffix(words, why) {
		return words
	}
	return words + ": " + why
}

// repeat is a line of the log that came already.
type repeat struct {
	said time.Time
	more int // that were not said since
}

// repeatAfter is how long a line is not said again of the same peer: one that sends
// a thousand malformed updates a second must not fill the disk.
const repeatAfter = time.Minute

// warn says it of the peer, or counts it where it was said a moment ago.
func (l *serverLog) warn(peer netip.Addr, message string, why any) {
	name := l.speaker.nameOf(peer)
	key := name + message // what exactly was wrong may be another thing each time
	l.mu.Lock()
	r := l.repeats[key]
	if r == nil {
		if l.repeats == nil || len(l.repeats) > 1000 {
			l.repeats = map[string]*repeat{}
		}
		r = &repeat{}
		l.repeats[key] = r
	}
	if time.Since(r.said) < repeatAfter {
		r.more++
		l.mu.Unlock()
		return
	}
	more := r.more
	r.said, r.more = time.Now(), 0
	l.mu.Unlock()
	attributes := []any{"peer", name, "err", why}
	if more > 0 {
		attributes = append(attributes, "times", more+1)
	}
	l.log.Warn(message, attributes...)
}
