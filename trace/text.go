package trace

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/plumbnet/plumb/trace/facts"
)

// Paint colours a text; nil leaves all as it is.
type Paint func(Colour, string) string

// Colour is what a text is.
type Colour int

// The colours' meanings.
const (
	Place  Colour = iota // the name of a hop
	Name                 // of a step
	Source               // where something comes from
	Warn
	Fail
	Good
)

// Columns: origins stand in one, as far as texts leave it free.
const (
	nameWidth = 12
	widest    = 72
)

// Write prints the trace for people.
func (t *Trace) Write(out io.Writer, paint Paint) error {
	if paint == nil {
		paint = func(_ Colour, s string) string { return s }
	}
	var b strings.Builder
	t.way(&b, paint, "")
	if t.Answer != nil && t.Outcome == Unanswered {
		b.WriteString("\n" + paint(Place, "the answer") + "\n\n")
		t.Answer.way(&b, paint, "")
	}
	if t.Probe != nil {
		t.Probe.steps(&b, paint)
	}
	for i, w := range t.Warnings {
		if i == 0 {
			b.WriteByte('\n')
		}
		b.WriteString(paint(Warn, "warning: ") + w + "\n")
	}
	b.WriteString("\n" + t.Last(paint) + "\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// Last is the last line: whether and how the packet arrives, or what drops it and
// what mends that.
func (t *Trace) Last(paint Paint) string {
	if t.OK() {
		return paint(Good, t.Summary)
	}
	s := paint(Fail, t.Summary)
	if t.Fault != nil && t.Fault.Mend != "" {
		s += "; mend: " + t.Fault.Mend
	}
	return s
}

func (t *Trace) way(b *strings.Builder, paint Paint, indent string) {
	fmt.Fprintf(b, "%s%s to %s, %s\n", indent, named(t.From, t.Packet.Src), named(t.To, t.Packet.Dst), proto(t.Packet))
	textWidth := 0
	for _, h := range t.Hops {
		for _, s := range h.Steps {
			if n := utf8.RuneCountInString(s.Text); s.Origin != "" && n <= widest {
				textWidth = max(textWidth, n+2)
			}
		}
	}
	for _, h := range t.Hops {
		fmt.Fprintf(b, "\n%s%s\n", indent, paint(Place, h.Place))
		for _, s := range h.Steps {
			sign, colour := " ", Name
			switch s.Mark {
			case Odd:
				sign, colour = "!", Warn
			case Bad:
				sign, colour = "x", Fail
			}
			line := paint(colour, sign+" "+pad(s.Name, nameWidth)) + s.Text
			if s.Mark != "" {
				line = paint(colour, sign+" "+pad(s.Name, nameWidth)+s.Text)
			}
			if s.Origin != "" {
				line += strings.Repeat(" ", max(textWidth-utf8.RuneCountInString(s.Text), 2)) + paint(Source, s.Origin)
			}
			b.WriteString(indent + line + "\n")
		}
	}
}

// named is an end with its address.
func named(name string, a netip.Addr) string {
	if name == a.String() || !a.IsValid() {
		return name
	}
	return name + " (" + a.String() + ")"
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(width-utf8.RuneCountInString(s), 1))
}

func proto(p facts.Packet) string {
	s := p.Proto
	if p.Dst.Is6() && s == "icmp" {
		s = "icmpv6"
	}
	if p.DstPort != 0 {
		s += fmt.Sprintf(" port %d", p.DstPort)
	}
	if p.Size != 0 {
		s += fmt.Sprintf(", %d bytes", p.Size)
	}
	return s
}
