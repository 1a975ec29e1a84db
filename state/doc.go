// Package state is plumb's vocabulary: the kinds of object that make up a
// node's network, as comparable values, and what other packages say about
// them. It is pure: it opens no file and no socket, and imports nothing of
// plumb.
//
// An object is canonical: what a kind reads back from the kernel for an object
// that it wrote is == to that object. Fields that the kernel fills in by itself
// (an IPv6 route's metric of 1024, the device lo of an IPv6 blackhole) are
// therefore given explicitly by whoever makes the object; the constructors here
// do it.
package state
