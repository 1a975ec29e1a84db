package nft

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// The rules that plumb can make, each in its canonical form: by chain, because
// some are for one kind of hook alone.
var texts = map[string][]string{
	"postrouting": {
		"ip saddr @masq4 ip daddr != @pools4 ip daddr != @exclude4 masquerade fully-random",
		"ip6 saddr @masq6 ip6 daddr != @pools6 masquerade",
		"ip saddr @masq4 ip daddr != @pools4 meta l4proto tcp masquerade to :32768-60999 fully-random",
		"meta l4proto tcp masquerade to :32768-60999",
		"meta l4proto udp masquerade to :1024 random,persistent",
		"meta l4proto udp masquerade to :1024 random,fully-random,persistent",
		"masquerade",
		"masquerade random",
		"masquerade persistent",
		"meta nfproto ipv4 masquerade",
		"snat ip to 198.51.100.7",
		"snat ip to 198.51.100.7 fully-random",
		"meta nfproto ipv4 snat ip to 198.51.100.7 persistent",
		"ip saddr @masq4 meta l4proto tcp snat ip to 198.51.100.7:32768-60999 fully-random",
		"ip saddr @masq4 meta l4proto udp snat ip to 198.51.100.7:5",
		"snat ip6 to fd00::1",
		"ip6 saddr @masq6 meta l4proto udp snat ip6 to [fd00::1]:1-2 random",
		"ip6 saddr @masq6 tcp dport 80 snat ip6 to [fd00::1]:7",
		`oifname "plumb-vxlan" fib saddr type local ip saddr != 10.244.1.0 masquerade`,
		`oifname "plumb-ipip" fib saddr type != local return`,
	},
	"antispoof": {
		`iifname "plb*" fib saddr . iif oif missing drop`,
		`iifname "plb*" fib saddr . iif oif exists accept`,
		`iifname != "plb*" return`,
		"fib saddr . mark . iif oif missing drop",
		"fib daddr type local accept",
		"fib saddr type local accept",
		"fib daddr . iif type != unicast accept",
		"fib saddr type blackhole accept",
	},
	"input": {
		"ip saddr 10.0.0.1",
		"ip daddr 10.0.0.1 accept",
		"ip daddr != 10.0.0.1 accept",
		"ip daddr != 10.0.0.0/8 accept",
		"ip saddr 10.0.0.0/9 accept",
		"ip saddr 192.0.2.0/24 ip daddr != 192.0.2.128/25 accept",
		"ip saddr 128.0.0.0/1 accept",
		"ip6 saddr fd00::1 accept",
		"ip6 daddr != fd00::/64 accept",
		"ip6 daddr fd00::/61 accept",
		"ip6 saddr fe80::/10 drop",
		"ip6 saddr 2000::/3 drop",
		"meta nfproto ipv4",
		"meta nfproto ipv6 accept",
		"meta nfproto != ipv6 accept",
		"meta nfproto ipv6 counter accept",
		`iifname "eth0" accept`,
		`iifname != "eth0" accept`,
		`iifname "a23456789012345" accept`,
		`iifname "plb*" ip saddr @masq4 accept`,
		"meta l4proto tcp accept",
		"meta l4proto != udp accept",
		"meta l4proto icmp accept",
		"meta l4proto ipv6-icmp accept",
		"meta l4proto sctp accept",
		"ip protocol tcp tcp dport 80 accept",
		"ip protocol != udp accept",
		"ip saddr 10.0.0.1 ip protocol icmp accept",
		"tcp dport 80 accept",
		"tcp sport 0 accept",
		"tcp dport != 80 accept",
		"tcp dport 32768-60999 accept",
		"udp sport 1-5 udp dport != 5-9 drop",
		"ip saddr @masq4 udp dport 4789 drop",
		"tcp dport 80 tcp sport 1-2 accept",
		"ct state established,related accept",
		"ct state invalid drop",
		"ct state new,untracked counter",
		"ct status snat,dnat counter",
		"udp dport 4789 ip6 saddr != @masq6 drop",
		"udp dport 4789 ip daddr @masq4 ct status dnat drop",
		"meta mark 0x00000001 accept",
		"meta mark != 0xffffffff accept",
		"ct mark 0x00010000 return",
		"ct mark != 0x00010000 return",
		"counter",
		"counter drop",
		"accept",
		"return",
		"jump side",
		"tcp dport 81 goto side",
		"drop",
	},
}

func textsTable() state.Snapshot {
	s := snapshot(state.Table{}, postrouting,
		state.Chain{Name: "antispoof", Type: "filter", Hook: "prerouting", Priority: -300, Policy: "accept"},
		state.Chain{Name: "input", Type: "filter", Hook: "input", Priority: 0, Policy: "accept"},
		state.Chain{Name: "side", Type: regularType, Hook: noHook, Policy: noHook},
	)
	for _, name := range []string{"masq", "pools", "exclude"} {
		s.Put(state.Set{Name: name + "4", Type: "ipv4_addr"}, state.Set{Name: name + "6", Type: "ipv6_addr"})
	}
	for chain, list := range texts {
		s.Put(rules(chain, list...)...)
	}
	return s
}

// nftRules gives the rules of a chain as nft prints them.
func nftRules(t *testing.T, chain string) []string {
	t.Helper()
	out := nstest.Sh(t, "nft -s list chain inet plumb "+chain)
	var lines []string
	for line := range strings.Lines(out) {
		line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\t\t")
		if ok && !strings.HasPrefix(line, "type ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// What is written reads back as the same text, and nft(8) prints the same.
func TestTextsAsWritten(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		converge(t, k, textsTable())
		for chain, list := range texts {
			for i, got := range nftRules(t, chain) {
				if i >= len(list) || got != list[i] {
					t.Errorf("nft prints %q for rule %s %d: %q", got, chain, i, list[min(i, len(list)-1)])
				}
			}
		}
	})
}

// What nft(8) makes of the same text reads as plumb's own.
func TestTextsLoadedByNft(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		var b strings.Builder
		b.WriteString("table inet plumb {\n")
		for _, set := range []string{"masq", "pools", "exclude"} {
			fmt.Fprintf(&b, "set %s4 { type ipv4_addr; flags interval; }\n", set)
			fmt.Fprintf(&b, "set %s6 { type ipv6_addr; flags interval; }\n", set)
		}
		b.WriteString("chain side {\n}\n")
		for chain, head := range map[string]string{
			"postrouting": "type nat hook postrouting priority srcnat + 10; policy accept;",
			"antispoof":   "type filter hook prerouting priority raw; policy accept;",
			"input":       "type filter hook input priority filter; policy accept;",
		} {
			fmt.Fprintf(&b, "chain %s {\n%s\n%s\n}\n", chain, head, strings.Join(texts[chain], "\n"))
		}
		b.WriteString("}\n")
		script := filepath.Join(t.TempDir(), "nft")
		if err := os.WriteFile(script, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		nstest.Sh(t, "nft -f "+script)
		equal(t, "by nft", read(t, k), textsTable())
	})
}

// Texts are stable under Canonical without a kernel.
func TestTextsCanonical(t *testing.T) {
	for _, list := range texts {
		for _, text := range list {
			if got, err := Canonical(text); err != nil || got != text {
				t.Errorf("Canonical(%q) = %q, %v", text, got, err)
			}
		}
	}
}

// nft(8) names this protocol as /etc/protocols does, plumb by its number.
func TestProtocolByNumber(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		want := snapshot(state.Table{}, postrouting)
		want.Put(rules("postrouting", "ip protocol 4 accept", "meta l4proto 41 accept")...)
		converge(t, k, want)
		nstest.Sh(t, "nft flush chain inet plumb postrouting; nft add rule inet plumb postrouting ip protocol 4 accept; nft add rule inet plumb postrouting meta l4proto 41 accept")
		equal(t, "by nft", read(t, k), want)
	})
}

// What plumb cannot have made is printed, and is no text that plumb would make.
func TestForeignRules(t *testing.T) {
	foreign := []string{
		"ip saddr { 1.2.3.4, 5.6.7.8 } drop",
		"ip saddr vmap { 1.2.3.4 : drop }",
		`tcp dport 443 log prefix "x" limit rate 5/second drop`,
		"ip saddr 1.0.0.0-1.0.0.5 drop",
		"notrack",
		"counter name cc",
		"ip dscp 5 drop",
		"tcp flags syn drop",
		"meta l4proto { tcp, udp } accept",
		"iif lo accept",
		"meta mark set 5",
		"meta mark and 0xff == 1 accept",
		"ct mark set meta mark",
		"ct state != new accept",
		"quota over 5 mbytes drop",
		"ip saddr vmap @m",
		`meta nfproto ipv4 oifname "x" ip saddr 1.2.3.4 drop`, // nft leaves the first match out
		"queue num 1",
		"reject",
		"jhash ip saddr mod 2 0 accept",
		"numgen inc mod 2 0 accept",
		"th dport 80 accept",
		"@nh,8,8 0x1 accept",
		"ip saddr . tcp dport { 1.2.3.4 . 80 } accept",
		"add @dyn { ip saddr } accept",
		"rt classid 5 accept",
	}
	run(t, func(t *testing.T, k *Kind) {
		nstest.Sh(t, `nft 'table inet plumb {
			counter cc { }
			set dyn { type ipv4_addr; flags dynamic; size 10; }
			map m { type ipv4_addr : verdict; elements = { 1.2.3.4 : jump d } }
			chain d { }
			chain x { type filter hook output priority filter; policy accept; }
		}'`)
		n := 0
		for _, rule := range foreign {
			// This kernel need not know them all.
			out := nstest.Sh(t, "nft add rule inet plumb x '"+rule+"' 2>&1 || true")
			if out == "" {
				n++
			} else {
				t.Logf("%s: %s", rule, out)
			}
		}
		have := read(t, k)
		seen := map[string]bool{}
		for _, o := range have.Sorted() {
			t.Log(state.String(o))
			if r, ok := o.(state.Rule); ok {
				n--
				if seen[r.Expr] {
					t.Errorf("two rules read the same: %s", r.Expr)
				}
				seen[r.Expr] = true
				if text, err := Canonical(r.Expr); err == nil && !strings.HasPrefix(r.Expr, "meta nfproto") {
					t.Errorf("taken for plumb's own: %s (%s)", r.Expr, text)
				}
			}
		}
		if n != 0 {
			t.Errorf("%d rules more than were read", n)
		}
		// And all of it goes away.
		converge(t, k, typical())
	})
}
