package render

import (
	"fmt"
	"strings"

	"github.com/plumbnet/plumb/state"
)

// IP prints the objects that ip(8) can make as the input of `ip -batch`, the
// others as comments. Loading it twice changes nothing; where there are tunnels,
// which ip(8) cannot make a second time, the second needs `ip -force`.
func IP(objects []state.Object) string {
	var b strings.Builder
	for _, o := range objects {
		switch o := o.(type) {
		case state.Route:
			fmt.Fprintf(&b, "route replace%s\n", routeWords(o))
		case state.Neigh:
			fmt.Fprintf(&b, "neigh replace %s lladdr %s dev %s nud permanent\n", o.Addr, o.MAC, o.Dev)
		case state.Link:
			b.WriteString(linkLines(o))
		case state.Address:
			fmt.Fprintf(&b, "address replace %s dev %s\n", o.Prefix, o.Dev)
		case state.FDB: // bridge(8)'s, not ip(8)'s
			fmt.Fprintf(&b, "# bridge fdb replace %s dev %s dst %s self permanent\n", o.MAC, o.Dev, o.Dst)
		case state.Sysctl:
			fmt.Fprintf(&b, "# %s\n", state.String(o))
		}
	}
	return b.String()
}

// linkLines make a tunnel where it is missing, and set what can be changed of a
// device that is there.
func linkLines(l state.Link) string {
	up := "down"
	if l.Up {
		up = "up"
	}
	if l.Tunnel == (state.Tunnel{}) {
		return fmt.Sprintf("link set dev %s address %s %s\n", l.Name, l.MAC, up)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "link add %s", l.Name)
	if l.MAC != "" {
		fmt.Fprintf(&b, " address %s", l.MAC)
	}
	if l.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", l.MTU)
	}
	fmt.Fprintf(&b, " type %s", l.Type)
	for _, f := range l.Tunnel.Fields() {
		if !strings.HasPrefix(f.Name, "(") {
			b.WriteString(" " + f.Name)
		}
		b.WriteString(" " + f.Value)
	}
	fmt.Fprintf(&b, "\nlink set dev %s %s\n", l.Name, up)
	return b.String()
}

// routeWords are the route's fields with the protocol as a number, which ip(8)
// takes also where plumb's names are not installed, and the scope it would
// otherwise guess.
func routeWords(r state.Route) string {
	var b strings.Builder
	for _, f := range r.Fields() {
		if f.Name == "proto" {
			f.Value = fmt.Sprint(r.Protocol)
		}
		if !strings.HasPrefix(f.Name, "(") {
			b.WriteString(" " + f.Name)
		}
		if f.Value != "" {
			b.WriteString(" " + f.Value)
		}
	}
	return b.String()
}

// NFT prints plumb's table as the input of `nft -f`. Loading it puts the table
// in place of what is there, in one transaction.
func NFT(objects []state.Object) string {
	var sets []state.Set
	var chains []state.Chain
	elements := map[string][]state.Element{}
	rules := map[string][]state.Rule{}
	table := false
	for _, o := range objects {
		switch o := o.(type) {
		case state.Table:
			table = true
		case state.Set:
			sets = append(sets, o)
		case state.Chain:
			chains = append(chains, o)
		case state.Element:
			elements[o.Set] = append(elements[o.Set], o)
		case state.Rule:
			rules[o.Chain] = append(rules[o.Chain], o)
		}
	}
	if !table {
		return ""
	}
	var b strings.Builder
	// Declared first, so that the deletion finds it on a bare node too.
	fmt.Fprintf(&b, "table %[1]s\ndelete table %[1]s\ntable %[1]s {\n", state.NFTTable)
	for _, s := range sets {
		fmt.Fprintf(&b, "\tset %s {\n\t\ttype %s\n\t\tflags interval\n", s.Name, s.Type)
		if es := elements[s.Name]; len(es) > 0 {
			b.WriteString("\t\telements = { ")
			for i, e := range es {
				if i > 0 {
					b.WriteString(",\n\t\t\t     ")
				}
				b.WriteString(e.Range())
			}
			b.WriteString(" }\n")
		}
		b.WriteString("\t}\n\n")
	}
	for i, c := range chains {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype %s hook %s priority %d; policy %s;\n", c.Name, c.Type, c.Hook, c.Priority, c.Policy)
		for _, r := range rules[c.Name] {
			fmt.Fprintf(&b, "\t\t%s\n", r.Expr)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}
