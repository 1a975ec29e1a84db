// Package route keeps the routes with plumb's route protocols, 112 and 113, in
// the tables that it is given. It never changes or deletes a route of another
// protocol.
//
// What the kernel does that one would not expect, and what follows from it:
//
//   - An IPv4 route is known by table, destination, TOS and metric, and several
//     may have the same: a list, of which the first carries the traffic.
//     NLM_F_REPLACE replaces that first one, whoever owns it (fib_table_insert,
//     net/ipv4/fib_trie.c). A replacement is therefore sent only once it is clear
//     that plumb's own is the first.
//   - IPv6 routes with a gateway, of one destination and metric, become next hops
//     of one route, whatever their protocols; the dump shows the protocol of the
//     first (rt6_fill_node, net/ipv6/route.c). Next hops are therefore added and
//     deleted one by one, with the protocol, where there are several.
//   - IPv4 routes vanish without an event when their device goes down, is deleted,
//     or loses its last address (fib_sync_down_dev, net/ipv4/fib_semantics.c).
//   - A replacement that changes nothing is silent for IPv4, an event for IPv6.
//   - A replacement is one event, while adding the new and deleting the old are
//     two, after which routing daemons that learn from the kernel take the
//     destination for lost. So routes are replaced in place where that is safe.
package route
