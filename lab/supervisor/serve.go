package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/lab"
)

// serve answers on the control socket until ctx ends. What is under way then
// ends with the process.
func (s *supervisor) serve(ctx context.Context, l *net.UnixListener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			slog.Error("control socket", "err", err)
			time.Sleep(100 * time.Millisecond) // say, no descriptors left
			continue
		}
		go func() {
			defer c.Close()
			if err := s.handle(ctx, c); err != nil && !errors.Is(err, syscall.EPIPE) { // a client may go away
				slog.Warn("request", "err", err)
			}
		}()
	}
}

// handle answers one request.
func (s *supervisor) handle(ctx context.Context, c *net.UnixConn) error {
	files, err := receive(c)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(c), json.NewEncoder(c)
	var r lab.Request
	if err := in.Decode(&r); err != nil {
		return fmt.Errorf("unreadable: %w", err)
	}
	if r.Exec != nil {
		return out.Encode(s.exec(r.Exec, files, in))
	}
	var reply lab.Reply
	if err := s.answer(ctx, &r, &reply); err != nil {
		reply.Error = err.Error()
	}
	if err := out.Encode(reply); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if r.Stop != nil {
		s.stop()
	}
	return nil
}

// receive takes the first byte of a connection and the descriptors with it.
func receive(c *net.UnixConn) ([]*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(3*4))
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "client"))
		}
	}
	return files, nil
}

func (s *supervisor) answer(ctx context.Context, r *lab.Request, reply *lab.Reply) (err error) {
	switch {
	case r.Status != nil:
		reply.Status = s.status(ctx)
	case r.Stop != nil:
		err = s.deletePods(ctx)
	case r.Ping != nil:
		reply.Pings, err = s.ping(ctx, r.Ping)
	case r.Whoami != nil:
		reply.Seen, err = s.whoami(ctx, r.Whoami)
	case r.ARP != nil:
		reply.MAC, err = s.arp(r.ARP)
	case r.Signal != nil:
		a, ok := s.agents[r.Signal.Node]
		if !ok {
			return fmt.Errorf("there is no node %q in the lab", r.Signal.Node)
		}
		err = a.signal(syscall.Signal(r.Signal.Signal))
	default:
		err = errors.New("this supervisor does not know the request; `plumb lab down` and `up` start one of your version")
	}
	return err
}

// status asks all agents at once.
func (s *supervisor) status(ctx context.Context) *lab.Status {
	st := &lab.Status{
		Name: s.dir.Name(), Dir: string(s.dir), Topology: s.name,
		Nodes: make([]lab.NodeStatus, len(s.layout.Nodes)),
		Pods:  s.layout.Pods(), Hosts: s.layout.Hosts,
	}
	var wg sync.WaitGroup
	for i, n := range s.layout.Nodes {
		wg.Go(func() {
			a := s.agents[n.Name]
			ns := lab.NodeStatus{Node: n}
			var standing standing
			standing, ns.Message = a.standing(ctx)
			ns.Converged = standing == converged
			a.mu.Lock()
			defer a.mu.Unlock()
			ns.Restarts = a.restarts
			if a.process != nil {
				ns.PID = a.process.Pid
			}
			st.Nodes[i] = ns
		})
	}
	wg.Wait()
	return st
}
