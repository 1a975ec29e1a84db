package desired

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// What a single value must be, besides its type.

// checkName is for names of nodes, endpoints, peers and filters: they are
// printed and typed, and become parts of file names and keys.
func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("must not be empty")
	case len(s) > 253:
		return fmt.Errorf("%s is longer than 253 characters", quote(s))
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			return fmt.Errorf("%s has the character %q; use letters, digits, '.', '_' and '-' alone", quote(s), r)
		}
	}
	return nil
}

// checkInterface follows the kernel's dev_valid_name. A name with the prefix of
// plumb's host ends is allowed: that hands a hand-wired one over to plumb.
func checkInterface(s string) error {
	switch {
	case s == "":
		return errors.New("must not be empty")
	case len(s) > 15:
		return fmt.Errorf("%s is longer than the 15 characters that an interface's name may have", quote(s))
	case s == "." || s == "..":
		return fmt.Errorf("%s cannot be the name of an interface; use another", quote(s))
	}
	for _, r := range s {
		if r == '/' || r == ':' || unicode.IsSpace(r) || unicode.IsControl(r) {
			return fmt.Errorf("%s has the character %q, which an interface's name cannot have", quote(s), r)
		}
	}
	return nil
}

func checkAbsolute(s string) error {
	if !filepath.IsAbs(s) {
		return fmt.Errorf("%s must be an absolute path, as in /etc/plumb/password", quote(s))
	}
	return nil
}

func checkRegexp(s string) error {
	if _, err := regexp.Compile(s); err != nil {
		return fmt.Errorf("%s is not a regular expression: %s", quote(s), abbreviate(strings.TrimPrefix(err.Error(), "error parsing regexp: ")))
	}
	return nil
}

// checkCommunity is for standard communities, A:B of 16 bits each (RFC 1997),
// and large ones, A:B:C of 32 bits each (RFC 8092).
func checkCommunity(s string) error {
	parts := strings.Split(s, ":")
	bits := map[int]int{2: 16, 3: 32}[len(parts)]
	if bits == 0 {
		return fmt.Errorf("%s is not a community; write A:B, or A:B:C for a large one", quote(s))
	}
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 10, bits)
		if err != nil || strconv.FormatUint(n, 10) != p {
			return fmt.Errorf("%s is not a community: %s must be a number from 0 to %d", quote(s), quote(p), uint64(1)<<bits-1)
		}
	}
	return nil
}

// parsePoolCIDR is parseRange without ranges that pods cannot draw from.
func parsePoolCIDR(s string) (netip.Prefix, error) {
	p, err := parseRange(s)
	what := ""
	switch a := p.Addr(); {
	case err != nil:
		return p, err
	case p.Bits() == 0:
		what = "every address"
	case a.IsLoopback():
		what = "a loopback range"
	case a.IsLinkLocalUnicast():
		what = "a link-local range" // the pods' gateway is one of them
	default:
		return p, nil
	}
	return netip.Prefix{}, fmt.Errorf("%s is %s; use a private or a public one, such as 10.244.0.0/16", quote(s), what)
}

// except is s without one value, for which there is a better answer.
func except[T comparable](s shape[T], bad T, why string) shape[T] {
	return shape[T]{decode: func(w *walker, v value, to *T) {
		old := *to
		if s.decode(w, v, to); *to == bad && v.Kind == yaml.ScalarNode {
			*to = old
			w.failField(v.pos, "%s", why)
		}
	}}
}

var (
	mtuShape        = text("a number of bytes, 0 or 576 to 65535", parseMTU)
	routeTableShape = except(integer[uint32](1, 1<<32-1), 255, "must not be 255, the kernel's table of local addresses; use 254, the main one, or one of your own")
	listenPortShape = text("a port, or -1 to listen never", parseListenPort)
)

func parseMTU(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n != 0 && (n < 576 || n > 65535) {
		return 0, fmt.Errorf("must be from 576 to 65535, or 0 for the best that fits, not %s", abbreviate(s))
	}
	return n, nil
}

func parseListenPort(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n != -1 && (n < 1 || n > 65535) {
		return 179, fmt.Errorf("must be from 1 to 65535, or -1 to listen never, not %s", abbreviate(s))
	}
	return n, nil
}
