package nft

import (
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	for text, want := range map[string]string{
		"meta nfproto ipv4 ip saddr @a accept":              "ip saddr @a accept",
		"meta l4proto tcp tcp dport 80 accept":              "tcp dport 80 accept",
		"  ip  saddr   10.1.2.3/8 drop ":                    "ip saddr 10.0.0.0/8 drop",
		"ip saddr 10.1.2.3/32 drop":                         "ip saddr 10.1.2.3 drop",
		"ip6 saddr FD00::0/64 drop":                         "ip6 saddr fd00::/64 drop",
		"ct state related,established accept":               "ct state established,related accept",
		"meta mark 16 accept":                               "meta mark 0x00000010 accept",
		"meta l4proto 58 accept":                            "meta l4proto ipv6-icmp accept",
		"meta l4proto 4 accept":                             "meta l4proto 4 accept",
		"fib iif . saddr oif missing drop":                  "fib saddr . iif oif missing drop",
		"masquerade persistent,fully-random":                "masquerade fully-random,persistent",
		`meta iifname "eth0" accept`:                        `iifname "eth0" accept`,
		"tcp dport 80 snat ip6 to [fd00::1]":                "tcp dport 80 snat ip6 to fd00::1",
		`meta nfproto ipv4 oifname "x" ip saddr @a counter`: `meta nfproto ipv4 oifname "x" ip saddr @a counter`,
	} {
		got, err := Canonical(text)
		if err != nil || got != want {
			t.Errorf("Canonical(%q) = %q, %v; want %q", text, got, err, want)
		}
		if again, err := Canonical(got); err != nil || again != got {
			t.Errorf("Canonical(%q) = %q, %v; not stable", got, again, err)
		}
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "empty",
		"ip saddr":                             "want a set",
		"ip saddr fd00::1 drop":                "of the family",
		"ip saddr @a ip6 daddr @b drop":        "other family",
		"ip saddr @__set0 drop":                "set's name",
		"ip saddr 0.0.0.0/0 drop":              "want a set",
		"ip saddr { 10.0.0.1 } drop":           "want a set",
		"masquerade to :1-5":                   "transport protocol",
		"meta l4proto tcp masquerade to :5-1":  "range",
		"accept drop":                          "nothing may follow",
		"masquerade counter":                   "unknown flag",
		`iifname eth0" drop`:                   "quoted",
		`iifname "eth0 drop`:                   "quoted",
		"iifname eth0 drop":                    "quoted",
		`iifname "" drop`:                      "quoted",
		`iifname "*" drop`:                     "not an interface",
		`iifname "a*b" drop`:                   "not an interface",
		`iifname "a234567890123456" drop`:      "not an interface",
		"tcp dport 80 udp dport 80 accept":     "transport protocol",
		"tcp dport 65536 accept":               "port",
		"ip protocol ipencap accept":           "number",
		"fib oif type local accept":            "saddr and daddr",
		"fib saddr . oif":                      "oif or type",
		"[limit 1=0000000000000005] accept":    "not understood",
		"ip saddr @a masquerade [masq 1=1234]": "unknown flag",
		"snat ip6 to fd00::1%eth0":             "address of the family",
		"ct state foo accept":                  "unknown state",
		"jump":                                 "chain",
	} {
		got, err := Canonical(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Canonical(%q) = %q, %v; want an error with %q", text, got, err, want)
		}
	}
}
