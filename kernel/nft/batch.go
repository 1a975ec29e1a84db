package nft

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// batch is one transaction: messages between BATCH_BEGIN and BATCH_END, which
// the kernel carries out all or none (net/netfilter/nfnetlink.c).
type batch struct {
	b     []byte
	parts []part // parts[i] has sequence number batchSeq+1+i
	open  int
	apart bool // every range in a message of its own
	sets  uint32
	count int // of elements
}

// part is a message and what it is for.
type part struct {
	index int        // the change; -1: of none in particular
	rules *chainPlan // of all rule changes of this chain
	slot  *slot      // the rule that it makes
	elems []int      // the changes of the elements, one for each in the message
}

// batchSeq is the sequence number of BATCH_BEGIN, beyond those of requests.
const batchSeq = 1 << 31

func newBatch(apart bool) *batch {
	t := &batch{apart: apart}
	b, at := openMessage(nil, unix.NFNL_MSG_BATCH_BEGIN, 0, batchSeq, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	t.b = closeMessage(putU32(b, unix.NFNL_BATCH_GENID, 0), at)
	return t
}

// end completes the transaction, which fails with ERESTART where the ruleset is
// not that of gen any more; with gen 0 it does not.
func (t *batch) end(gen uint32) []byte {
	binary.BigEndian.PutUint32(t.b[unix.NLMSG_HDRLEN+sizeofGenmsg+unix.SizeofNlAttr:], gen)
	seq := batchSeq + 1 + uint32(len(t.parts))
	b, at := openMessage(t.b, unix.NFNL_MSG_BATCH_END, 0, seq, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	t.b = closeMessage(b, at)
	return t.b
}

// part is the one with sequence number seq, nil for the batch itself.
func (t *batch) part(seq uint32) *part {
	if i := seq - batchSeq - 1; i < uint32(len(t.parts)) {
		return &t.parts[i]
	}
	return nil
}

// add opens a message; every message begins with the table's name as attribute 1.
func (t *batch) add(msg byte, flags uint16, p part) {
	t.parts = append(t.parts, p)
	t.b, t.open = openMessage(t.b, nftType(msg), flags, batchSeq+uint32(len(t.parts)), unix.NFPROTO_INET, 0)
	t.b = putString(t.b, unix.NFTA_TABLE_NAME, tableName)
}

func (t *batch) close() { t.b = closeMessage(t.b, t.open) }

func (t *batch) makeTable(index int) {
	t.add(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, part{index: index})
	t.b = putU32(t.b, unix.NFTA_TABLE_FLAGS, 0) // also wakes a dormant one
	t.close()
}

func (t *batch) deleteTable(index int) {
	t.add(unix.NFT_MSG_DELTABLE, 0, part{index: index})
	t.close()
}

func (t *batch) makeSet(s state.Set, index int) {
	typ, size := uint32(typeIPv4), uint32(4)
	if s.Type == ipv6Addr {
		typ, size = typeIPv6, 16
	}
	// A lookup in a set that is not there must not find this one by its ID, and
	// has 0.
	t.sets++
	t.add(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE|unix.NLM_F_EXCL, part{index: index})
	t.b = putString(t.b, unix.NFTA_SET_NAME, s.Name)
	t.b = putU32(t.b, unix.NFTA_SET_FLAGS, unix.NFT_SET_INTERVAL)
	t.b = putU32(t.b, unix.NFTA_SET_KEY_TYPE, typ)
	t.b = putU32(t.b, unix.NFTA_SET_KEY_LEN, size)
	t.b = putU32(t.b, unix.NFTA_SET_ID, t.sets)
	// Which byte order the key has, for nft(8) alone: 0 = key, then 4 bytes,
	// 2 = big endian (libnftnl, include/udata.h; nftables, include/datatype.h).
	t.b = putAttr(t.b, unix.NFTA_SET_USERDATA, append([]byte{0, 4}, native32(2)...))
	t.close()
}

func (t *batch) deleteSet(s *setState, index int) {
	switch {
	case s.object != 0:
		t.add(unix.NFT_MSG_DELOBJ, 0, part{index: index})
		t.b = putString(t.b, unix.NFTA_OBJ_NAME, s.kernelName)
		t.b = putU32(t.b, unix.NFTA_OBJ_TYPE, s.object)
	case s.flowtable:
		t.add(unix.NFT_MSG_DELFLOWTABLE, 0, part{index: index})
		t.b = putString(t.b, 2, s.kernelName) // NFTA_FLOWTABLE_NAME
	default:
		t.add(unix.NFT_MSG_DELSET, 0, part{index: index})
		t.b = putString(t.b, unix.NFTA_SET_NAME, s.kernelName)
	}
	t.close()
}

func (t *batch) flushSet(name string) {
	t.add(unix.NFT_MSG_DELSETELEM, 0, part{index: -1})
	t.b = putString(t.b, unix.NFTA_SET_ELEM_LIST_SET, name)
	t.close()
}

// maxElements is how long a message's list of elements gets: an attribute's
// length has 16 bits.
const maxElements = 60 << 10

func (t *batch) elements(msg byte, set string, list []elementChange) {
	flags := uint16(0)
	if msg == unix.NFT_MSG_NEWSETELEM {
		flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	t.count += len(list)
	for len(list) > 0 {
		t.add(msg, flags, part{index: -1})
		t.b = putString(t.b, unix.NFTA_SET_ELEM_LIST_SET, set)
		var at int
		t.b, at = openAttr(t.b, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		p := &t.parts[len(t.parts)-1]
		for n := 0; len(list) > 0 && len(t.b)-at < maxElements && (n == 0 || !t.apart); n++ {
			e := list[0]
			list = list[1:]
			end := e.to.Next()
			t.b = putElement(t.b, e.from, false, !end.IsValid())
			p.elems = append(p.elems, e.index)
			if end.IsValid() {
				t.b = putElement(t.b, end, true, false)
				p.elems = append(p.elems, e.index)
			}
		}
		t.b = closeAttr(t.b, at)
		t.close()
	}
}

// putElement writes the begin or the end of a range. One without an end is
// marked so for nft(8), which prints it wrongly otherwise.
func putElement(b []byte, a netip.Addr, end, open bool) []byte {
	b, item := openAttr(b, unix.NFTA_LIST_ELEM)
	b, key := openAttr(b, unix.NFTA_SET_ELEM_KEY)
	if a.Is4() {
		v := a.As4()
		b = putAttr(b, unix.NFTA_DATA_VALUE, v[:])
	} else {
		v := a.As16()
		b = putAttr(b, unix.NFTA_DATA_VALUE, v[:])
	}
	b = closeAttr(b, key)
	if end {
		b = putU32(b, unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	if open {
		// NFTNL_UDATA_SET_ELEM_FLAGS, 4 bytes, NFTNL_SET_ELEM_F_INTERVAL_OPEN
		b = putAttr(b, unix.NFTA_SET_ELEM_USERDATA, append([]byte{1, 4}, native32(1)...))
	}
	return closeAttr(b, item)
}

// elementAt says which element of a message that begins at b lies at offset,
// the first of the list being 0; -1 where none does.
func elementAt(b []byte, offset int) int {
	m, _, err := nextMessage(b)
	if err != nil || len(m.body) < sizeofGenmsg {
		return -1
	}
	pos := unix.NLMSG_HDRLEN + sizeofGenmsg
	for as := m.body[sizeofGenmsg:]; len(as) > 0; {
		a, rest, err := nextAttr(as)
		if err != nil {
			return -1
		}
		if a.typ == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			pos += unix.SizeofNlAttr
			for i, list := 0, a.data; len(list) > 0; i++ {
				n := len(list)
				if _, list, err = nextAttr(list); err != nil {
					return -1
				}
				if offset < pos+n-len(list) {
					return i
				}
				pos += n - len(list)
			}
			return -1
		}
		pos += len(as) - len(rest)
		as = rest
	}
	return -1
}

func (t *batch) makeChain(c state.Chain, index int) {
	t.add(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE|unix.NLM_F_EXCL, part{index: index})
	t.b = putString(t.b, unix.NFTA_CHAIN_NAME, c.Name)
	if c.Type != regularType {
		hook, _ := hooks().number(c.Hook)
		policy, _ := policies().number(c.Policy)
		var at int
		t.b, at = openAttr(t.b, unix.NFTA_CHAIN_HOOK)
		t.b = putU32(t.b, unix.NFTA_HOOK_HOOKNUM, hook)
		t.b = putU32(t.b, unix.NFTA_HOOK_PRIORITY, uint32(c.Priority))
		t.b = closeAttr(t.b, at)
		t.b = putU32(t.b, unix.NFTA_CHAIN_POLICY, policy)
		t.b = putString(t.b, unix.NFTA_CHAIN_TYPE, c.Type)
	}
	t.close()
}

func (t *batch) setPolicy(c state.Chain, index int) {
	policy, _ := policies().number(c.Policy)
	t.add(unix.NFT_MSG_NEWCHAIN, 0, part{index: index})
	t.b = putString(t.b, unix.NFTA_CHAIN_NAME, c.Name)
	t.b = putU32(t.b, unix.NFTA_CHAIN_POLICY, policy)
	t.close()
}

func (t *batch) deleteChain(name string, index int) {
	t.add(unix.NFT_MSG_DELCHAIN, 0, part{index: index})
	t.b = putString(t.b, unix.NFTA_CHAIN_NAME, name)
	t.close()
}

// deleteRules deletes all rules of the chain where handle is 0.
func (t *batch) deleteRules(chain string, handle uint64, p part) {
	t.add(unix.NFT_MSG_DELRULE, 0, p)
	t.b = putString(t.b, unix.NFTA_RULE_CHAIN, chain)
	if handle != 0 {
		t.b = putU64(t.b, unix.NFTA_RULE_HANDLE, handle)
	}
	t.close()
}

// makeRule puts a rule before the one with the handle, or, with 0, at the end of
// the chain. NLM_F_ECHO brings the rule back with its own handle.
func (t *batch) makeRule(chain string, s *slot, before uint64, p part) {
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_ECHO)
	if before == 0 {
		flags |= unix.NLM_F_APPEND
	}
	t.add(unix.NFT_MSG_NEWRULE, flags, p)
	t.b = putString(t.b, unix.NFTA_RULE_CHAIN, chain)
	t.b = putAttr(t.b, unix.NLA_F_NESTED|unix.NFTA_RULE_EXPRESSIONS, s.code)
	if before != 0 {
		t.b = putU64(t.b, unix.NFTA_RULE_POSITION, before)
	}
	t.close()
}

// message is the bytes from the one with sequence number seq on.
func (t *batch) message(seq uint32) []byte {
	for b := t.b; len(b) > 0; {
		m, rest, err := nextMessage(b)
		if err != nil {
			return nil
		}
		if m.seq == seq {
			return b
		}
		b = rest
	}
	return nil
}

// elementOf is the change of the element that an error is about, -1: unknown.
func (t *batch) elementOf(p *part, seq uint32, offset int) int {
	i := 0 // of one range, either end tells
	if len(p.elems) > 2 {
		if offset == 0 {
			return -1
		}
		i = elementAt(t.message(seq), offset)
	}
	if i < 0 || i >= len(p.elems) {
		return -1
	}
	return p.elems[i]
}
