// Package reconcile makes what is what should be. It holds the wanted objects,
// by source, and the objects that the kernel has; the difference is a Plan,
// which can be printed, refused, or applied.
//
// The kernel is the truth. It is read in full at the start and from time to
// time; in between, sources and kernel events name the keys that may differ, and
// a turn compares those alone: k changes among N objects cost O(k).
//
// What went wrong elsewhere, and is why things are as they are here:
//
//   - A replacement whose first half was the deletion left a node without a
//     route when the second half failed. So what is added comes before what is
//     deleted, and a deletion whose replacement failed is held.
//   - Routes were removed at the start because the part that wants them had not
//     come up yet. So nothing is deleted that an unsynced source may want (Hold).
//   - One bad object in a batch stopped all others. So every change has a result
//     and a backoff of its own.
//   - Two owners wrote one object in two forms, for ever. So there is one form of
//     an object, and what is read back is compared whole, with ==.
package reconcile
