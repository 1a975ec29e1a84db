package path

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/route"
	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace/facts"
)

// rule is a policy rule (ip-rule(8); struct fib_rule_hdr, include/uapi/linux/fib_rules.h).
type rule struct {
	priority, table, target uint32 // target is where goto goes
	action                  byte
	flags                   uint32
	src, dst                netip.Prefix // not valid: any
	iif, oif                string
	mark, mask              uint32
	tos, proto              byte
	sport, dport            [2]uint16 // 0: any
	uids                    []uint32  // first and last
	suppress                int32     // prefixes of this length or shorter do not count; -1: all count
	other                   bool      // it asks for what a trace's packet never has
}

// Flags of struct fib_rule_hdr that x/sys/unix does not have.
const (
	ruleHeader = 12
	invert     = 0x2 // FIB_RULE_INVERT
	unresolved = 0x4 // FIB_RULE_UNRESOLVED: there is no rule that goto could go to
)

// refusal is what a rule answers with, by its action (fib4_rule_action,
// net/ipv4/fib_rules.c; fib6_rule_action, net/ipv6/fib6_rules.c).
var refusal = map[byte]struct{ word, errno string }{
	unix.FR_ACT_BLACKHOLE:   {"blackhole", "EINVAL"},
	unix.FR_ACT_UNREACHABLE: {"unreachable", "ENETUNREACH"},
	unix.FR_ACT_PROHIBIT:    {"prohibit", "EACCES"},
}

// rules gives the rules of the address's family, in the order in which the kernel asks
// them. A kernel without policy routing has none.
func (p *Place) rules(ctx context.Context, like netip.Addr) ([]rule, error) {
	var out []rule
	err := p.sock.Dump(ctx, unix.RTM_GETRULE, func(e *rtnl.Encoder) {
		header := make([]byte, ruleHeader)
		header[0] = unix.AF_INET6
		if like.Is4() {
			header[0] = unix.AF_INET
		}
		e.Bytes(header...)
	}, func(m rtnl.Message) error {
		if r, ok := decodeRule(m.Data); ok {
			out = append(out, r)
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b rule) int { return int(int64(a.priority) - int64(b.priority)) })
	return out, err
}

func decodeRule(b []byte) (r rule, ok bool) {
	if len(b) < ruleHeader {
		return r, false
	}
	attrs := attributes(b[ruleHeader:])
	number := func(typ uint16) uint32 { return attrs[typ].Uint32() }
	prefix := func(typ uint16, bits byte) netip.Prefix {
		a, _ := netip.AddrFromSlice(attrs[typ].Data)
		return netip.PrefixFrom(a, int(bits)) // not valid without an address
	}
	r = rule{
		priority: number(unix.FRA_PRIORITY), table: uint32(b[4]), target: number(unix.FRA_GOTO), action: b[7], flags: binary.NativeEndian.Uint32(b[8:]),
		dst: prefix(unix.FRA_DST, b[1]), src: prefix(unix.FRA_SRC, b[2]), tos: b[3],
		iif: attrs[unix.FRA_IIFNAME].String(), oif: attrs[unix.FRA_OIFNAME].String(),
		mark: number(unix.FRA_FWMARK), mask: number(unix.FRA_FWMASK), suppress: -1,
	}
	if a, has := attrs[unix.FRA_TABLE]; has {
		r.table = a.Uint32()
	}
	if a, has := attrs[unix.FRA_SUPPRESS_PREFIXLEN]; has {
		r.suppress = int32(a.Uint32())
	}
	if a := attrs[unix.FRA_IP_PROTO].Data; len(a) > 0 {
		r.proto = a[0]
	}
	for typ, ports := range map[uint16]*[2]uint16{unix.FRA_SPORT_RANGE: &r.sport, unix.FRA_DPORT_RANGE: &r.dport} {
		if a := attrs[typ].Data; len(a) == 4 {
			*ports = [2]uint16{binary.NativeEndian.Uint16(a), binary.NativeEndian.Uint16(a[2:])}
		}
	}
	if a := attrs[unix.FRA_UID_RANGE].Data; len(a) == 8 {
		r.uids = []uint32{binary.NativeEndian.Uint32(a), binary.NativeEndian.Uint32(a[4:])}
	}
	tunnel, l3mdev := attrs[unix.FRA_TUN_ID].Data, attrs[unix.FRA_L3MDEV].Data
	r.other = slices.ContainsFunc(slices.Concat(tunnel, l3mdev), func(b byte) bool { return b != 0 })
	return r, true
}

// matches is fib_rule_match (net/core/fib_rules.c) for a packet without a mark, of root.
func (r *rule) matches(p facts.Packet, in, out string) bool {
	if in == "" {
		in = "lo" // of the host's own
	}
	port := func(want [2]uint16, have uint16) bool { return want[1] == 0 || want[0] <= have && have <= want[1] }
	all := !r.other && r.tos == 0 && r.mark&r.mask == 0 &&
		(r.iif == "" || r.iif == in) && (r.oif == "" || r.oif == out) &&
		(!r.src.IsValid() || r.src.Contains(p.Src)) && (!r.dst.IsValid() || r.dst.Contains(p.Dst)) &&
		(r.proto == 0 || r.proto == protocol(p)) && port(r.sport, p.SrcPort) && port(r.dport, p.DstPort) &&
		(len(r.uids) == 0 || r.uids[0] == 0)
	return all != (r.flags&invert != 0)
}

// refuser finds what makes the kernel refuse a packet with this error: a rule, or a
// route of one of the tables that rules have it look into; neither where it is something
// else, such as the packet's source. The kernel's answer does not say which.
func refuser(rules []rule, covering []state.Route, p facts.Packet, in, out, errno string) (*facts.Rule, *state.Route) {
	for i := 0; i < len(rules); i++ {
		r := &rules[i]
		if !r.matches(p, in, out) {
			continue
		}
		switch r.action {
		case unix.FR_ACT_TO_TBL:
			found := slices.IndexFunc(covering, func(c state.Route) bool { return c.Table == r.table && c.Dst.Bits() > int(r.suppress) })
			switch {
			case found < 0 || covering[found].Type == unix.RTN_THROW:
			case covering[found].Type == state.Unicast:
				return nil, nil // there is a way, so it is not refused for want of one
			default:
				return nil, &covering[found]
			}
		case unix.FR_ACT_GOTO:
			if r.flags&unresolved == 0 {
				for i+1 < len(rules) && rules[i+1].priority < r.target {
					i++
				}
			}
		case unix.FR_ACT_BLACKHOLE, unix.FR_ACT_UNREACHABLE, unix.FR_ACT_PROHIBIT:
			if refusal[r.action].errno == errno {
				return &facts.Rule{Priority: r.priority, Text: r.text()}, nil
			}
			return nil, nil
		}
	}
	return nil, nil
}

// text is a rule that refuses, as `ip rule` takes and prints it.
func (r *rule) text() string {
	var w []string
	add := func(is bool, words ...string) {
		if is {
			w = append(w, words...)
		}
	}
	hex := func(n uint32) string { return "0x" + strconv.FormatUint(uint64(n), 16) }
	ports := func(p [2]uint16) string {
		if p[0] == p[1] {
			return strconv.Itoa(int(p[0]))
		}
		return fmt.Sprintf("%d-%d", p[0], p[1])
	}
	one := func(p netip.Prefix) string {
		switch {
		case !p.IsValid():
			return "all"
		case p.IsSingleIP():
			return p.Addr().String()
		}
		return p.String()
	}
	mark := hex(r.mark)
	if r.mask != ^uint32(0) {
		mark += "/" + hex(r.mask)
	}
	add(r.flags&invert != 0, "not")
	add(true, "from", one(r.src))
	add(r.dst.IsValid(), "to", one(r.dst))
	add(r.tos != 0, "tos", hex(uint32(r.tos)))
	add(r.mark != 0 || r.mask != 0, "fwmark", mark)
	add(r.iif != "", "iif", r.iif)
	add(r.oif != "", "oif", r.oif)
	if len(r.uids) == 2 {
		add(true, "uidrange", fmt.Sprintf("%d-%d", r.uids[0], r.uids[1]))
	}
	add(r.proto != 0, "ipproto", protocolName(r.proto))
	add(r.sport[1] != 0, "sport", ports(r.sport))
	add(r.dport[1] != 0, "dport", ports(r.dport))
	add(true, refusal[r.action].word)
	return strings.Join(w, " ")
}

func protocolName(n byte) string {
	switch n {
	case unix.IPPROTO_ICMP:
		return "icmp"
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	}
	return strconv.Itoa(int(n))
}

// refused is the answer where the kernel sends a packet nowhere. It does not say why;
// the rules and the tables do.
func (p *Place) refused(ctx context.Context, packet facts.Packet, in, out string, l facts.Lookup) facts.Lookup {
	covering, err := p.routes.Covering(ctx, packet.Dst)
	if err != nil {
		return l
	}
	rules, err := p.rules(ctx, packet.Dst)
	if err != nil || len(rules) == 0 { // CONFIG_IP_MULTIPLE_TABLES is off: there is the table main
		rules = []rule{{action: unix.FR_ACT_TO_TBL, table: state.TableMain, suppress: -1}}
	}
	named, r := refuser(rules, covering, packet, in, out, l.Error)
	l.Rule = named
	if r != nil {
		l.Text, l.Dst, l.Type, l.Proto, l.Table = route.Text(r), r.Dst, r.Type, r.Protocol, r.Table
	}
	return l
}
