// The runtime would read the cgroup's files to find out how many processors it may
// use, and again from time to time: a tenth of a millisecond, for a program that
// uses one and ends in a few.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command plumb-cni is plumb's CNI plugin. A container runtime runs it; see
// package cni.
package main

import "github.com/plumbnet/plumb/cni"

// version is set by the build.
var version = "unknown"

func main() { cni.Main("plumb-cni " + version + ": wires pods to the network that plumb keeps") }
