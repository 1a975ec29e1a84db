package desired

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// text is a scalar whose characters parse understands, quoted or not. parse may
// give a value besides its error: the one that was most likely meant, with which
// the validation goes on, so that one slip is one error.
func text[T any](what string, parse func(string) (T, error)) shape[T] {
	return shape[T]{decode: func(w *walker, v value, to *T) {
		if v.Kind != yaml.ScalarNode {
			w.failField(v.pos, "must be %s, not %s", what, kindOf(v.Node))
			return
		}
		t, err := parse(v.Value)
		if err != nil {
			w.failField(v.pos, "%s", err)
		}
		*to = t
	}}
}

// isString makes a problem of what is not a string.
func (w *walker) isString(v value) bool {
	if v.Kind == yaml.ScalarNode && v.ShortTag() == "!!str" {
		return true
	}
	mend := ""
	if v.Kind == yaml.ScalarNode {
		mend = fmt.Sprintf("; write %q", abbreviate(v.Value))
	}
	w.failField(v.pos, "must be a string, not %s%s", kindOf(v.Node), mend)
	return false
}

// str is a string that check, where not nil, has no objection to.
func str(check func(string) error) shape[string] {
	return shape[string]{decode: func(w *walker, v value, to *string) {
		if !w.isString(v) {
			return
		}
		if check != nil {
			if err := check(v.Value); err != nil {
				w.failField(v.pos, "%s", err)
				return
			}
		}
		*to = v.Value
	}}
}

// choice is one of a few words.
func choice[T ~string](words ...T) shape[T] {
	return shape[T]{decode: func(w *walker, v value, to *T) {
		if v.Kind == yaml.ScalarNode && slices.Contains(words, T(v.Value)) {
			*to = T(v.Value)
			return
		}
		list := make([]string, len(words))
		for i, word := range words {
			list[i] = string(word)
		}
		all := strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
		if v.Kind == yaml.ScalarNode {
			w.failField(v.pos, "must be %s, not %s", all, quote(v.Value))
		} else {
			w.failField(v.pos, "must be %s, not %s", all, kindOf(v.Node))
		}
	}}
}

// boolean is true or false, in no other spelling: what "yes" or "True" mean
// depends on the version of YAML.
var boolean = shape[bool]{decode: func(w *walker, v value, to *bool) {
	switch {
	case v.Kind != yaml.ScalarNode:
		w.failField(v.pos, "must be true or false, not %s", kindOf(v.Node))
	case v.ShortTag() == "!!str" && (v.Value == "true" || v.Value == "false"):
		w.failField(v.pos, "must be %s without quotes", v.Value)
	case v.Value == "true" || v.Value == "false":
		*to = v.Value == "true"
	default:
		w.failField(v.pos, "must be true or false, not %s", quoteScalar(v.Node))
	}
}}

// integer is a decimal number from lo to hi, both included.
func integer[T ~int | ~uint16 | ~uint32](lo, hi int64) shape[T] {
	return shape[T]{decode: func(w *walker, v value, to *T) {
		if v.Kind != yaml.ScalarNode {
			w.failField(v.pos, "must be a number from %d to %d, not %s", lo, hi, kindOf(v.Node))
			return
		}
		n, err := strconv.ParseInt(v.Value, 10, 64)
		switch {
		case v.ShortTag() == "!!str" && err == nil:
			w.failField(v.pos, "must be a number; write %d without quotes", n)
		case err != nil || strconv.FormatInt(n, 10) != v.Value:
			w.failField(v.pos, "must be a decimal number from %d to %d, not %s", lo, hi, quoteScalar(v.Node))
		case n < lo || n > hi:
			w.failField(v.pos, "must be from %d to %d, not %d", lo, hi, n)
		default:
			*to = T(n)
		}
	}}
}

// duration is a time in whole multiples of unit, from lo to hi, both included;
// hi 0: without limit.
func duration(lo, hi, unit time.Duration) shape[time.Duration] {
	bounds := "at least " + shortDuration(lo)
	if hi > 0 {
		bounds = "from " + shortDuration(lo) + " to " + shortDuration(hi)
	}
	return shape[time.Duration]{decode: func(w *walker, v value, to *time.Duration) {
		if v.Kind != yaml.ScalarNode {
			w.failField(v.pos, "must be a duration such as 90s, not %s", kindOf(v.Node))
			return
		}
		d, err := time.ParseDuration(v.Value)
		if err != nil {
			if _, numErr := strconv.ParseUint(v.Value, 10, 32); numErr == nil && v.Value != "0" {
				w.failField(v.pos, "%s has no unit; did you mean %ss?", v.Value, v.Value)
			} else {
				w.failField(v.pos, "must be a duration such as 90s or 2m, not %s", quoteScalar(v.Node))
			}
			return
		}
		switch {
		case d < lo || hi > 0 && d > hi:
			w.failField(v.pos, "must be %s, not %s", bounds, v.Value)
		case d%unit != 0:
			w.failField(v.pos, "must be in whole seconds, not %s", v.Value)
		default:
			*to = d
		}
	}}
}

// shortDuration is 60s where time.Duration prints 1m0s.
func shortDuration(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

// maxQuoted is in characters, so that a message stays one that can be read.
const maxQuoted = 64

func abbreviate(s string) string {
	n := 0
	for i := range s {
		if n++; n > maxQuoted {
			return s[:i] + "…"
		}
	}
	return s
}

func quote(s string) string { return strconv.Quote(abbreviate(s)) }

// quoteScalar quotes a scalar as it stands in the file: a number or a boolean
// has no quotes there.
func quoteScalar(n *yaml.Node) string {
	if n.ShortTag() == "!!str" {
		return quote(n.Value)
	}
	return abbreviate(n.Value)
}
