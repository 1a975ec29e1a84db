package nft

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/trace/facts"
)

// priorityLive comes before all chains that anybody has reason to make: before the
// defragmentation of connection tracking (-400, NF_IP_PRI_CONNTRACK_DEFRAG).
const priorityLive = -450

// liveLimit bounds the events of one watch.
const liveLimit = 4096

// Live has the kernel trace packets (meta nftrace) and gives what they meet in all
// chains of the namespace of the calling thread, until ctx ends. The mark is set by
// a table of its own, which belongs to its socket (NFT_TABLE_F_OWNER): whatever
// becomes of the process, the kernel removes the table with the socket. armed is
// called when packets are traced.
func Live(ctx context.Context, packets []facts.Packet, armed func(), seen func(facts.Seen)) error {
	events, err := openSocket()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	defer events.conn.Close()
	if err := events.conn.JoinGroup(unix.NFNLGRP_NFTRACE); err != nil {
		return fmt.Errorf("nftables: trace events: %w", err)
	}
	names, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer names.Close()
	marker, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	defer marker.CloseLasting() //nolint:errcheck // the socket is gone either way
	mark(marker, packets)
	if err := marker.Flush(); err != nil {
		return fmt.Errorf("nftables: table that marks packets: %w", explain(err))
	}
	l := live{names: names.Names(), own: tableOfLive(), texts: map[string]string{}, ends: map[uint32][2]netip.Addr{}}
	l.read()
	armed()
	stop := context.AfterFunc(ctx, func() { _ = events.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for range liveLimit {
		msgs, err := events.conn.Receive()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			return fmt.Errorf("nftables: trace events: %w", err)
		}
		for _, m := range msgs {
			if uint16(m.Header.Type) == nftType(unix.NFT_MSG_TRACE) && len(m.Data) > sizeofGenmsg {
				if s, ok := l.decode(m.Data[0], m.Data[sizeofGenmsg:]); ok {
					seen(s)
				}
			}
		}
	}
	return nil
}

// tableOfLive is a name that no other run has.
func tableOfLive() string { return "plumb-trace-" + strconv.Itoa(os.Getpid()) }

// mark makes the table: every packet that is like one of these is traced.
func mark(c *nftables.Conn, packets []facts.Packet) {
	t := c.AddTable(&nftables.Table{Name: tableOfLive(), Family: nftables.TableFamilyINet, Flags: nftables.TableFlagOwner})
	for name, hook := range map[string]*nftables.ChainHook{"prerouting": nftables.ChainHookPrerouting, "output": nftables.ChainHookOutput} {
		chain := c.AddChain(&nftables.Chain{
			Name: name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityRef(priorityLive),
		})
		for _, p := range packets {
			c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: likeness(p)})
		}
	}
}

// likeness is a rule: packets like p are traced.
func likeness(p facts.Packet) []expr.Any {
	equal := func(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
	family, src, dst, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(16), uint32(4)
	protocol := map[string]byte{"icmp": unix.IPPROTO_ICMP, "tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}[p.Proto]
	if p.Dst.Is6() {
		family, src, dst, size = unix.NFPROTO_IPV6, 8, 24, 16
		if p.Proto == "icmp" {
			protocol = unix.IPPROTO_ICMPV6
		}
	}
	e := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal([]byte{family}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: dst, Len: size}, equal(p.Dst.AsSlice()),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{protocol}),
	}
	if p.Src.IsValid() {
		e = append(e, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: src, Len: size}, equal(p.Src.AsSlice()))
	}
	if p.DstPort != 0 {
		e = append(e, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, equal(binaryutil.BigEndian.PutUint16(p.DstPort)))
	}
	return append(e, &expr.Immediate{Register: 1, Data: []byte{1}},
		&expr.Meta{Key: expr.MetaKeyNFTRACE, SourceRegister: true, Register: 1})
}

// live decodes events.
type live struct {
	names *rtnl.Names
	own   string
	texts map[string]string        // of rules, by table and handle
	ends  map[uint32][2]netip.Addr // of packets: only the first event in a chain has them
}

// Attributes of NFT_MSG_TRACE (enum nft_trace_attributes,
// include/uapi/linux/netfilter/nf_tables.h).
const (
	traceTable   = 1
	traceChain   = 2
	traceHandle  = 3
	traceType    = 4
	traceVerdict = 5
	traceID      = 6
	traceNetwork = 8
	traceIIF     = 10
	traceOIF     = 12
	tracePolicy  = 16
)

// decode reads one event; the message's family is that of the table. Events of the
// marking table itself are left out.
func (l *live) decode(family byte, b []byte) (s facts.Seen, ok bool) {
	as, err := parseAttrs(b)
	if err != nil || as.str(traceTable) == l.own {
		return s, false
	}
	s = facts.Seen{ID: as.u32(traceID), Chain: as.str(traceChain), Handle: as.u64(traceHandle)}
	s.Table = nameOr(ipFamilies(), uint32(family)) + " " + as.str(traceTable)
	switch as.u32(traceType) { // enum nft_trace_types
	case 1:
		s.Type, s.Verdict = "policy", nameOr(policies(), as.u32(tracePolicy))
	case 2:
		s.Type, s.Verdict = "return", verdictName(as)
	default:
		s.Type, s.Verdict = "rule", verdictName(as)
		s.Rule = l.texts[ruleID(s.Table, s.Handle)]
	}
	s.In, _ = l.names.Name(int32(as.u32(traceIIF)))
	s.Out, _ = l.names.Name(int32(as.u32(traceOIF)))
	if src, dst := ends(as); src.IsValid() {
		l.ends[s.ID] = [2]netip.Addr{src, dst}
	}
	s.Src, s.Dst = l.ends[s.ID][0], l.ends[s.ID][1]
	return s, true
}

func verdictName(as attrs) string {
	v := as.nested(traceVerdict)
	code := int32(v.u32(unix.NFTA_VERDICT_CODE))
	switch code {
	case 0:
		return "drop"
	case 1:
		return "accept"
	case unix.NFT_CONTINUE:
		return "continue"
	case unix.NFT_JUMP:
		return "jump " + v.str(unix.NFTA_VERDICT_CHAIN)
	case unix.NFT_GOTO:
		return "goto " + v.str(unix.NFTA_VERDICT_CHAIN)
	case unix.NFT_RETURN:
		return "return"
	}
	return strconv.Itoa(int(code))
}

// ends reads the addresses out of the network header, which is in the first event
// of a packet in each chain.
func ends(as attrs) (src, dst netip.Addr) {
	h, _ := as.get(traceNetwork)
	switch {
	case len(h) >= 20 && h[0]>>4 == 4:
		src, _ = netip.AddrFromSlice(h[12:16])
		dst, _ = netip.AddrFromSlice(h[16:20])
	case len(h) >= 40 && h[0]>>4 == 6:
		src, _ = netip.AddrFromSlice(h[8:24])
		dst, _ = netip.AddrFromSlice(h[24:40])
	}
	return src, dst
}

// read reads the text of all rules. It may fail: events have the handles too.
func (l *live) read() {
	sock, err := openSocket()
	if err != nil {
		return
	}
	defer sock.conn.Close()
	_ = sock.request(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, unix.NFPROTO_UNSPEC, nil, func(family byte, b []byte) error {
		as, err := parseAttrs(b)
		if err == nil {
			table := nameOr(ipFamilies(), uint32(family)) + " " + as.str(unix.NFTA_RULE_TABLE)
			code, _ := as.get(unix.NFTA_RULE_EXPRESSIONS)
			l.texts[ruleID(table, as.u64(unix.NFTA_RULE_HANDLE))] = foreignText(family, code)
		}
		return err
	})
}

// foreignText is a rule of any table, as far as plumb can read it. Rules of the
// tables ip and ip6 do not say the family, which those of inet begin with.
func foreignText(family byte, code []byte) string {
	if family == unix.NFPROTO_IPV4 || family == unix.NFPROTO_IPV6 {
		head, err := encodeExprs([]expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		})
		if err == nil {
			if text := readable(append(head, code...)); !strings.HasPrefix(text, "meta nfproto") {
				return text
			}
		}
	}
	return readable(code)
}

func readable(code []byte) string {
	exprs, err := parseExprs(code)
	if err != nil {
		return "[unreadable]"
	}
	return textOf(exprs)
}

func ruleID(table string, handle uint64) string {
	return table + " " + strconv.FormatUint(handle, 10)
}
