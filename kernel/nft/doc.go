// Package nft keeps plumb's one nftables table, "inet plumb": its sets and
// their elements, its chains and their rules (state.Table, Set, Element, Chain,
// Rule), each Apply in one transaction.
//
// Rules are text in the words of nft(8), in one canonical form: what
// `nft -s list table inet plumb` prints. compile turns text into the
// expressions that nft would send, and decompile turns what the kernel has
// into text. A rule that compiles to anything else than what the kernel has is
// printed with the raw expressions in brackets, so that it is never taken for
// one of plumb's.
//
// The expressions are those of github.com/google/nftables. Its connection is
// not used, because
//   - it drops expressions that it does not know, and so would take a changed
//     rule for the wanted one;
//   - a failing transaction gives one error and does not say for which message,
//     while the kernel says for every message, and for every set which element
//     (NLMSGERR_ATTR_OFFS); plumb needs that, so that one bad object does not
//     hold up the rest;
//   - its monitor leaves out which set an element event is about.
//
// Dumping a large set is quadratic in the kernel, so the state is cached under
// the ruleset's generation (NFT_MSG_GETGEN), which every transaction counts up.
// While Watch runs, generations in which others changed other tables carry the
// cache forward; plumb's own transactions carry their base generation, fail
// where it has passed (ERESTART), and so have exactly known results.
package nft
