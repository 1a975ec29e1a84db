// Package rtnl speaks rtnetlink(7) over a raw socket: many requests in one
// system call, dumps without an allocation per message, and a monitor that
// never sees what plumb itself wrote.
//
// A socket belongs to the network namespace of the thread that opened it, and
// stays there.
package rtnl
