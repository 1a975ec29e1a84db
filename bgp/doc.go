// Package bgp is plumb's BGP speaker: GoBGP in this process, without its gRPC
// listener, behind three things that the rest of plumb knows.
//
// # A kind like the others
//
// A Speaker is the reconcile.Ops of the BGP objects: state.BGPSpeaker, BGPFilter,
// BGPPeer and BGPPrefix. Read gives what is configured, Apply changes it in one
// transaction and touches only the sessions that a change concerns; what ends a
// session is said by state.BGPResets before it happens. GoBGP's own update of a
// peer is never used: it resets the session for cosmetic changes, and ignores
// others without a word.
//
// # Its best paths, in batches
//
// Next waits for changes of best paths and gives all that came since the last
// call, one entry a prefix, however often it changed in between. So a reader that
// is slow costs memory for each prefix, not for each change.
//
// # What can be seen of it
//
// Sessions, RIB and Warnings are views for status, metrics and `plumb bgp`.
//
// # Filters
//
// Everything that leaves this node bears a marker, a large community that the
// export policy of GoBGP looks for and takes off again. Which route bears which
// marker is decided when the route comes into the RIB: by the import policy for
// what peers announce, and by plumb for what the node originates. A change of an
// export filter therefore changes the routes, not the policy, and GoBGP, which
// keeps no record of what it sent, announces and withdraws on its own: the old
// route passes the export policy, the new one does not.
//
// # Restart
//
// A process that ends without Drain leaves its TCP connections to the kernel, which
// closes them without a BGP notification; peers with graceful restart (RFC 4724)
// keep the routes. A Speaker opened with Restarting announces that it has
// restarted, sends nothing until every peer had the time to send what it has, and
// says so with Batch.Settled: until then nothing that was learned before may be
// deleted from the kernel.
//
// One Speaker a process: GoBGP keeps how it selects paths in package variables.
package bgp
