// Package runtimes holds no code, but the tests in which real container runtimes
// make and remove pods with the CNI plugin: containerd, driven as a kubelet does,
// and podman. Each test has a node of its own, with a real agent, in namespaces.
package runtimes
