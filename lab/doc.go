// Package lab is a cluster of nodes in network namespaces on one machine, each
// running the real agent on the real state file.
//
//	plumb lab up ──starts──> supervisor: PID 1 of namespaces of its own
//	                         (pid, mount, net; without root, user too)
//	plumb lab exec ─socket─>   ├── network namespaces on its own /run/netns:
//	plumb lab down ─socket─>   │   one for each segment, host, node and pod
//	                           ├── plumb agent, one in each node
//	                           └── responders in pods and hosts
//
// Everything that a lab consists of lives in the supervisor's namespaces: when
// the supervisor ends, in whatever way, the kernel ends all of it. What is left
// then is the run directory, which holds the control socket, the state file, each
// node's state directory and conflist and each agent's log; Down removes it.
//
// Pods are made as a container runtime makes them: by the CNI plugin that is beside
// the plumb binary, called through the library that runtimes use.
//
// This package is the lab seen from outside: the topology, Start, Down and the
// Client of a running lab. Package supervisor is the inside.
package lab
