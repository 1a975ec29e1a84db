package nft

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// FuzzCompile: no text makes the compiler panic, and what it takes reads back
// as a text that stands for the same rule.
func FuzzCompile(f *testing.F) {
	for _, list := range texts {
		for _, text := range list {
			f.Add(text)
		}
	}
	f.Add(`snat ip to [::1]:`)
	f.Add(`tcp dport 1-1 masquerade to :1-1`)
	f.Fuzz(func(t *testing.T, text string) {
		code, err := compile(text)
		if err != nil {
			return
		}
		r := decodeRule(code)
		if !r.known {
			t.Fatalf("%q reads back as %q", text, r.text)
		}
		again, err := compile(r.text)
		if err != nil || string(again) != string(code) {
			t.Fatalf("%q is %q, which is another rule: %v", text, r.text, err)
		}
		if got, err := Canonical(r.text); err != nil || got != r.text {
			t.Fatalf("%q is %q, then %q: %v", text, r.text, got, err)
		}
	})
}

// FuzzDecode: no expressions make the reader panic, and none are taken for a
// rule of plumb's that is not.
func FuzzDecode(f *testing.F) {
	for _, list := range texts {
		for _, text := range list {
			code, err := compile(text)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(code)
		}
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		r := decodeRule(code)
		if r.known == strings.HasPrefix(r.text, "[") {
			t.Fatalf("known is %v for %q", r.known, r.text)
		}
		if got, err := Canonical(r.text); r.known && (err != nil || got != r.text) || !r.known && err == nil {
			t.Fatalf("%q is %q: %v", r.text, got, err)
		}
		if strings.ContainsAny(r.text, "\n\t") {
			t.Fatalf("not one line: %q", r.text)
		}
	})
}

// A rule of plumb's that was changed in any one place reads differently.
func TestChangedRulesReadDifferently(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for _, list := range texts {
		for _, text := range list {
			code, err := compile(text)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, code)
		}
	}
	for _, code := range all {
		original, err := parseExprs(code)
		if err != nil {
			t.Fatal(err)
		}
		text := decodeRule(code).text
		for range nstest.Rounds(2000) {
			changed := slices.Clone(code)
			switch r.IntN(4) {
			case 0: // one expression less
				if changed = without(changed, r.IntN(len(original))); len(changed) == 0 {
					continue
				}
			case 1: // one twice
				all, _ := parseAttrs(changed)
				changed = putAttr(changed, unix.NFTA_LIST_ELEM, all[r.IntN(len(all))].data)
			case 2: // one of another rule
				other, _ := parseAttrs(all[r.IntN(len(all))])
				changed = putAttr(changed, unix.NFTA_LIST_ELEM, other[r.IntN(len(other))].data)
			default: // one bit
				changed[r.IntN(len(changed))] ^= 1 << r.IntN(8)
			}
			now, err := parseExprs(changed)
			if err == nil && sameExprs(now, original) {
				continue // in what does not count: padding, a counter
			}
			if d := decodeRule(changed); d.text == text {
				t.Fatalf("%q is also the text of %v", text, now)
			}
		}
	}
}

// without leaves out the nth attribute.
func without(b []byte, n int) []byte {
	all, _ := parseAttrs(b)
	var out []byte
	for i, a := range all {
		if i != n {
			out = putAttr(out, a.typ, a.data)
		}
	}
	return out
}

// FuzzMessages: whatever arrives on the sockets, the readers do not panic.
func FuzzMessages(f *testing.F) {
	b := newBatch(false)
	b.makeTable(0)
	b.makeSet(state.Set{Name: "masq4", Type: "ipv4_addr"}, 0)
	b.makeChain(postrouting, 0)
	code, _ := compile("ip saddr @masq4 drop")
	b.makeRule("postrouting", &slot{code: code}, 0, part{})
	e := element("masq4", "10.0.0.0/8")
	b.elements(12, "masq4", []elementChange{{e.From, e.To, 0}})
	f.Add(b.end(7))
	f.Fuzz(func(t *testing.T, in []byte) {
		w := &watcher{tracker: newTracker(), ctx: t.Context(), notify: func() {}}
		w.take(slices.Clone(in))
		r := newRuleset()
		guilty := map[int]error{}
		for rest := in; len(rest) > 0; {
			var m message
			var err error
			if m, rest, err = nextMessage(rest); err != nil {
				break
			}
			_, _ = m.error()
			_ = b.answer(m, guilty)
			_, _, body, ok := m.nft()
			if !ok {
				continue
			}
			_ = elementAt(in, len(body))
			if points, err := appendPoints(nil, body); err == nil {
				(&setState{}).setRanges(points)
			}
			if as, err := parseAttrs(body); err == nil {
				r.addSet(as)
				r.addObject(as)
				r.addFlowtable(as)
				r.addChain(as)
				r.addRule(as)
			}
		}
	})
}
