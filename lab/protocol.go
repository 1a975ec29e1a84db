package lab

import (
	"net/netip"
	"time"
)

// The control socket carries one request a connection, as JSON values: a Request
// from the client and a Reply from the supervisor. An exec goes on with
// ExecInput and ExecOutput until the command has ended. The first byte of a
// connection means nothing; descriptors travel with it (SCM_RIGHTS), since a
// stream's byte is what the kernel attaches them to.

// Request asks one thing: the one that is set.
type Request struct {
	Status *struct{}      `json:"status,omitempty"`
	Stop   *struct{}      `json:"stop,omitempty"`
	Exec   *ExecRequest   `json:"exec,omitempty"`
	Ping   *PingRequest   `json:"ping,omitempty"`
	Whoami *WhoamiRequest `json:"whoami,omitempty"`
	ARP    *ARPRequest    `json:"arp,omitempty"`
	Signal *SignalRequest `json:"signal,omitempty"`
}

// Reply is the answer.
type Reply struct {
	Error  string       `json:"error,omitempty"`
	Status *Status      `json:"status,omitempty"`
	Pings  []PingResult `json:"pings,omitempty"`
	Seen   netip.Addr   `json:"seen,omitzero"`
	MAC    string       `json:"mac,omitempty"`
}

// Status is a lab as it is.
type Status struct {
	Name     string       `json:"name"`
	Dir      string       `json:"dir"`
	Topology string       `json:"topology"`
	Nodes    []NodeStatus `json:"nodes"`
	Pods     []Pod        `json:"pods"`
	Hosts    []Host       `json:"hosts"`
}

// NodeStatus is a node and its agent.
type NodeStatus struct {
	Node
	PID       int    `json:"pid"` // as processes in the lab see it; 0: not running
	Restarts  int    `json:"restarts"`
	Converged bool   `json:"converged"`
	Message   string `json:"message,omitempty"` // why not
}

// Converged says whether every node has.
func (s *Status) Converged() bool {
	for _, n := range s.Nodes {
		if !n.Converged {
			return false
		}
	}
	return true
}

// ExecRequest runs a command in a node, pod, host or segment. Standard input,
// output and error come along as descriptors.
type ExecRequest struct {
	Where string   `json:"where"`
	Args  []string `json:"args"`
	Env   []string `json:"env"`
	Dir   string   `json:"dir"`
	TTY   bool     `json:"tty"` // standard input is a terminal for the command alone
}

// ExecInput is what an exec's client sends later: a signal for the command.
type ExecInput struct {
	Signal int `json:"signal"`
}

// ExecOutput is how an exec ended.
type ExecOutput struct {
	Error string `json:"error,omitempty"`
	Exit  int    `json:"exit"` // as a shell has it: 128 + signal, 127 not found
}

// PingRequest pings each target from one place, all at the same time.
type PingRequest struct {
	From string        `json:"from"`
	To   []netip.Addr  `json:"to"`
	Wait time.Duration `json:"wait"` // for each reply
}

// PingResult is the outcome for one target.
type PingResult struct {
	To    netip.Addr    `json:"to"`
	RTT   time.Duration `json:"rtt"`
	Error string        `json:"error,omitempty"` // empty: a reply came
}

// WhoamiRequest asks a pod or host under which address it sees another.
type WhoamiRequest struct {
	From string     `json:"from"`
	At   netip.Addr `json:"at"`
}

// ARPRequest asks who has an address on eth0 of a place.
type ARPRequest struct {
	From string     `json:"from"`
	Who  netip.Addr `json:"who"`
}

// SignalRequest sends a signal to a node's agent.
type SignalRequest struct {
	Node   string `json:"node"`
	Signal int    `json:"signal"`
}
