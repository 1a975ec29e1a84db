package nft

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// errMoved says that the ruleset changed while it was read.
var errMoved = errors.New("the ruleset changes faster than it can be read")

// readTries bounds how often reading starts again because of that.
const readTries = 20

// fresh sees to it that k.have is what the kernel has in generation k.gen.
func (k *Kind) fresh(ctx context.Context) error {
	for range readTries {
		if err := ctx.Err(); err != nil {
			return err
		}
		gen, err := k.sock.generation()
		if err != nil {
			return explain(err)
		}
		if k.have != nil && k.tracker.good(gen) {
			k.gen = gen
			return nil
		}
		k.have = nil
		k.tracker.set(gen)
		have, err := k.dump(ctx, gen)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return err
		}
		now, err := k.sock.generation()
		if err != nil {
			return explain(err)
		}
		if now == gen || k.tracker.good(now) {
			k.have, k.gen = have, now
			return nil
		}
	}
	return errMoved
}

// explain says what is missing where the kernel does not know nf_tables at all.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("CAP_NET_ADMIN is missing: %w", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("the kernel has no nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET; module nf_tables): %w", err)
	}
	return err
}

// dump reads the table as it was in gen or, where a watcher knows that others
// left the table alone, later. All lists but that of the chains are of this table,
// and do not change when others do. The kernel reads that one by position among
// all chains, so it must come in one piece.
func (k *Kind) dump(ctx context.Context, gen uint32) (*ruleset, error) {
	r := newRuleset()
	err := k.get(unix.NFT_MSG_GETTABLE, 0, putString(nil, unix.NFTA_TABLE_NAME, tableName), func(as attrs) {
		r.table = true
		r.dormant = as.u32(unix.NFTA_TABLE_FLAGS)&1 != 0 // NFT_TABLE_F_DORMANT
	})
	if errors.Is(err, unix.ENOENT) {
		return r, nil
	}
	// In all these messages attribute 1 is the table's name.
	ofTable := putString(nil, unix.NFTA_TABLE_NAME, tableName)
	list := func(msg byte, each func(attrs)) {
		if err == nil {
			err = k.get(msg, unix.NLM_F_DUMP, ofTable, func(as attrs) {
				if as.str(unix.NFTA_TABLE_NAME) == tableName {
					each(as)
				}
			})
		}
	}
	list(unix.NFT_MSG_GETSET, r.addSet)
	list(unix.NFT_MSG_GETOBJ, r.addObject)
	list(unix.NFT_MSG_GETFLOWTABLE, r.addFlowtable)
	list(unix.NFT_MSG_GETCHAIN, r.addChain)
	whole := k.sock.pieces == 1
	list(unix.NFT_MSG_GETRULE, r.addRule)
	if err != nil {
		return nil, err
	}
	if now, err := k.sock.generation(); err != nil {
		return nil, err
	} else if now != gen && !(whole && k.tracker.good(now)) {
		return nil, errMoved
	}
	for _, s := range r.sets {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !s.plain {
			continue
		}
		if err := k.dumpElements(s); errors.Is(err, unix.ENOENT) {
			return nil, errMoved
		} else if err != nil {
			return nil, fmt.Errorf("set %s: %w", s.Name, err)
		}
	}
	return r, nil
}

func (k *Kind) get(msg byte, flags uint16, query []byte, each func(attrs)) error {
	return k.sock.request(msg, flags, unix.NFPROTO_INET, query, func(family byte, b []byte) error {
		as, err := parseAttrs(b)
		if err == nil && family == unix.NFPROTO_INET {
			each(as)
		}
		return err
	})
}

func (k *Kind) dumpElements(s *setState) error {
	query := putString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
	query = putString(query, unix.NFTA_SET_ELEM_LIST_SET, s.Name)
	var points []point
	err := k.sock.request(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, unix.NFPROTO_INET, query, func(_ byte, b []byte) (err error) {
		points, err = appendPoints(points, b)
		return err
	})
	s.setRanges(points)
	return err
}

// appendPoints decodes the elements of one message.
func appendPoints(points []point, b []byte) ([]point, error) {
	msg, err := parseAttrs(b)
	if err != nil {
		return points, err
	}
	list, _ := msg.get(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	for len(list) > 0 {
		var item attr
		if item, list, err = nextAttr(list); err != nil {
			return points, err
		}
		var p point
		for e := item.data; len(e) > 0; {
			var a attr
			if a, e, err = nextAttr(e); err != nil {
				return points, err
			}
			switch a.typ {
			case unix.NFTA_SET_ELEM_KEY:
				v, _, err := nextAttr(a.data)
				if err != nil {
					return points, err
				}
				p.addr, _ = netip.AddrFromSlice(v.data)
			case unix.NFTA_SET_ELEM_FLAGS:
				p.end = attrs{a}.u32(unix.NFTA_SET_ELEM_FLAGS)&unix.NFT_SET_ELEM_INTERVAL_END != 0
			}
		}
		if !p.addr.IsValid() {
			return points, errors.New("an element without an address")
		}
		points = append(points, p)
	}
	return points, nil
}

func (r *ruleset) addChain(as attrs) {
	name := as.str(unix.NFTA_CHAIN_NAME)
	c := &chainState{Chain: state.Chain{Name: name, Type: regularType, Hook: noHook, Policy: noHook}}
	if _, base := as.get(unix.NFTA_CHAIN_HOOK); base {
		hook := as.nested(unix.NFTA_CHAIN_HOOK)
		c.Type = as.str(unix.NFTA_CHAIN_TYPE)
		c.Priority = int32(hook.u32(unix.NFTA_HOOK_PRIORITY))
		c.Hook = nameOr(append(hooks(), word{"ingress", 5}), hook.u32(unix.NFTA_HOOK_HOOKNUM))
		if _, ok := hook.get(unix.NFTA_HOOK_DEV); ok {
			c.Hook += " device " + hook.str(unix.NFTA_HOOK_DEV)
		}
		c.Policy = nameOr(policies(), as.u32(unix.NFTA_CHAIN_POLICY))
	}
	if flags := as.u32(nftaChainFlags) &^ 1; flags != 0 { // but NFT_CHAIN_BASE
		c.Type += fmt.Sprintf(" (flags %#x)", flags)
	}
	r.chains[name] = c
}

func nameOr(ws words, n uint32) string {
	if s, ok := ws.name(n); ok {
		return s
	}
	return strconv.Itoa(int(int32(n)))
}

func (r *ruleset) addRule(as attrs) {
	// Rules come after chains; one of an unknown chain is of a later generation.
	if c := r.chains[as.str(unix.NFTA_RULE_CHAIN)]; c != nil {
		c.rules = append(c.rules, decodeKernelRule(as))
	}
}

func decodeKernelRule(as attrs) kernelRule {
	code, _ := as.get(unix.NFTA_RULE_EXPRESSIONS)
	return kernelRule{as.u64(unix.NFTA_RULE_HANDLE), decodeRule(code)}
}

func (r *ruleset) addObject(as attrs) {
	kinds := words{
		{"counter", 1},
		{"quota", 2},
		{"ct helper", 3},
		{"limit", 4},
		{"tunnel", 6},
		{"ct timeout", 7},
		{"secmark", 8},
		{"ct expectation", 9},
		{"synproxy", 10},
	}
	typ := as.u32(unix.NFTA_OBJ_TYPE)
	s := &setState{object: typ, kernelName: as.str(unix.NFTA_OBJ_NAME)}
	s.Set = state.Set{Name: nameOr(kinds, typ) + " " + s.kernelName, Type: "object"}
	r.sets[s.Name] = s
}

func (r *ruleset) addFlowtable(as attrs) {
	s := &setState{flowtable: true, kernelName: as.str(2)} // NFTA_FLOWTABLE_NAME
	s.Set = state.Set{Name: "flowtable " + s.kernelName, Type: "object"}
	r.sets[s.Name] = s
}

func (r *ruleset) addSet(as attrs) {
	if as.u32(unix.NFTA_SET_FLAGS)&unix.NFT_SET_ANONYMOUS != 0 {
		return // part of a rule
	}
	name := as.str(unix.NFTA_SET_NAME)
	s := &setState{Set: state.Set{Name: name, Type: setType(as)}, kernelName: name}
	s.plain = s.Type == ipv4Addr || s.Type == ipv6Addr
	r.sets[name] = s
}

// setType is "ipv4_addr" or "ipv6_addr" for the sets that plumb makes. Any other
// is described so that it differs.
func setType(as attrs) string {
	text := typeName(as.u32(unix.NFTA_SET_KEY_TYPE))
	flags := as.u32(unix.NFTA_SET_FLAGS)
	if flags&unix.NFT_SET_MAP != 0 {
		text += " : " + typeName(as.u32(unix.NFTA_SET_DATA_TYPE))
	}
	if flags&unix.NFT_SET_OBJECT != 0 {
		text += " : object"
	}
	var more []string
	if flags&unix.NFT_SET_INTERVAL == 0 {
		more = append(more, "no interval")
	}
	for _, f := range (words{{"constant", unix.NFT_SET_CONSTANT}, {"timeout", unix.NFT_SET_TIMEOUT}, {"dynamic", unix.NFT_SET_EVAL}}) {
		if flags&f.n != 0 {
			more = append(more, f.name)
		}
	}
	if size := as.nested(unix.NFTA_SET_DESC).u32(unix.NFTA_SET_DESC_SIZE); size != 0 {
		more = append(more, fmt.Sprintf("size %d", size))
	}
	if ms := as.u64(unix.NFTA_SET_TIMEOUT); ms != 0 {
		more = append(more, fmt.Sprintf("timeout %dms", ms))
	}
	if as.u32(unix.NFTA_SET_POLICY) == unix.NFT_SET_POL_MEMORY {
		more = append(more, "policy memory")
	}
	for _, typ := range []uint16{nftaSetExpr, nftaSetExpressions} {
		if _, ok := as.get(typ); ok {
			more = append(more, "statements")
		}
	}
	if len(more) > 0 {
		text += " (" + strings.Join(more, ", ") + ")"
	}
	return text
}

// Of include/uapi/linux/netfilter/nf_tables.h, enum nft_chain_attributes and
// nft_set_attributes.
const (
	nftaChainFlags     = 10
	nftaSetExpr        = 0x11
	nftaSetExpressions = 0x12
)

// typeName names a data type by its number in nft(8) (src/datatype.c); a
// concatenation has six bits for each part.
func typeName(n uint32) string {
	if n == 0xffffff00 { // NFT_DATA_VERDICT
		return "verdict"
	}
	names := words{
		{ipv4Addr, typeIPv4},
		{ipv6Addr, typeIPv6},
		{"ether_addr", 9},
		{"inet_proto", 12},
		{"inet_service", 13},
		{"mark", 19},
		{"iface_index", 20},
		{"ifname", 41},
	}
	if n>>6 == 0 {
		if s, ok := names.name(n); ok {
			return s
		}
		return "type " + strconv.Itoa(int(n))
	}
	return typeName(n>>6) + " . " + typeName(n&0x3f)
}

const (
	typeIPv4 = 7
	typeIPv6 = 8
)
