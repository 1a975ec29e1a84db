package nft

import (
	"net/netip"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// isWord is 1 where s can be a word of a rule's text, and 0 where it cannot.
func isWord(s string) int {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return 0
	}
	return 1
}

// final prints a verdict or an address translation with the immediates before it.
func (d *decompiler) final() (string, int) {
	if code, chain, ok := d.peek(0).verdict(); ok {
		switch expr.VerdictKind(int32(code)) {
		case expr.VerdictJump:
			return "jump " + chain, isWord(chain)
		case expr.VerdictGoto:
			return "goto " + chain, isWord(chain)
		}
		name, ok := verdicts().name(code)
		if !ok {
			return "", 0
		}
		return name, 1
	}
	var loads [][]byte
	for d.peek(len(loads)).name == "immediate" {
		loads = append(loads, d.peek(len(loads)).value(unix.NFTA_IMMEDIATE_DATA))
	}
	n := len(loads)
	switch e := d.peek(n); e.name {
	case "masq":
		text := "masquerade"
		if n > 0 {
			text += " to :" + portsText(loads[0], loads[n-1])
		}
		return text + natFlagsText(e.data.u32(unix.NFTA_MASQ_FLAGS)), n + 1
	case "nat":
		if e.data.u32(unix.NFTA_NAT_TYPE) != unix.NFT_NAT_SNAT || n == 0 {
			return "", 0
		}
		family := "ip"
		if e.data.u32(unix.NFTA_NAT_FAMILY) == unix.NFPROTO_IPV6 {
			family = "ip6"
		}
		addr, ok := netip.AddrFromSlice(loads[0])
		if !ok {
			return "", 0
		}
		to := addr.String()
		if n > 1 {
			to = strings.TrimSuffix(netip.AddrPortFrom(addr, 0).String(), "0") + portsText(loads[1], loads[n-1])
		}
		return "snat " + family + " to " + to + natFlagsText(e.data.u32(unix.NFTA_NAT_FLAGS)), n + 1
	}
	return "", 0
}

func natFlagsText(bits uint32) string {
	var names []string
	for _, f := range natFlags() {
		if bits&f.n != 0 {
			names = append(names, f.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " " + strings.Join(names, ",")
}
