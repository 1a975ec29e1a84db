// Command plumb-cni is plumb's CNI plugin. A container runtime runs it; see
// package cni.
package main

import "github.com/plumbnet/plumb/cni"

// version is set by the build.
var version = "unknown"

func main() { cni.Main("plumb-cni " + version + ": wires pods to the network that plumb keeps") }
