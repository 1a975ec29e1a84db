package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// ForeignChain is a base chain of another owner.
type ForeignChain struct {
	state.Chain
	Table string // family and name: "ip filter"
	Rules int
}

// Foreign gives the base chains of all other tables that see IP packets on their
// way through the network layer: what may drop a packet besides plumb.
func (k *Kind) Foreign() ([]ForeignChain, error) {
	var out []ForeignChain
	var err error
	rules := map[string]int{}
	each := func(msg byte, f func(table string, as attrs)) {
		if err != nil {
			return
		}
		err = k.sock.request(msg, unix.NLM_F_DUMP, unix.NFPROTO_UNSPEC, nil, func(family byte, b []byte) error {
			as, err := parseAttrs(b)
			if err != nil {
				return err
			}
			name, ok := ipFamilies().name(uint32(family))
			// In messages of chains and of rules attribute 1 is the table's name.
			if table := name + " " + as.str(unix.NFTA_CHAIN_TABLE); ok && table != state.NFTTable {
				f(table, as)
			}
			return nil
		})
	}
	each(unix.NFT_MSG_GETRULE, func(table string, as attrs) { rules[table+" "+as.str(unix.NFTA_RULE_CHAIN)]++ })
	each(unix.NFT_MSG_GETCHAIN, func(table string, as attrs) {
		hook := as.nested(unix.NFTA_CHAIN_HOOK)
		name, ok := hooks().name(hook.u32(unix.NFTA_HOOK_HOOKNUM))
		if _, base := as.get(unix.NFTA_CHAIN_HOOK); !base || !ok {
			return
		}
		c := state.Chain{Name: as.str(unix.NFTA_CHAIN_NAME), Type: as.str(unix.NFTA_CHAIN_TYPE), Hook: name}
		c.Priority = int32(hook.u32(unix.NFTA_HOOK_PRIORITY))
		c.Policy = nameOr(policies(), as.u32(unix.NFTA_CHAIN_POLICY))
		out = append(out, ForeignChain{Chain: c, Table: table, Rules: rules[table+" "+c.Name]})
	})
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", explain(err))
	}
	return out, nil
}

// ipFamilies are those whose chains see IP packets.
func ipFamilies() words {
	return words{{"inet", unix.NFPROTO_INET}, {"ip", unix.NFPROTO_IPV4}, {"ip6", unix.NFPROTO_IPV6}}
}
