package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/lab/ns"
)

// startRouting makes a host with several ports forward, and starts its routing
// daemon. The daemon ends with the lab, like every process of its PID namespace.
func (s *supervisor) startRouting(h lab.Host) error {
	if len(h.Also) > 0 {
		err := ns.Do(h.Name, func() error {
			for _, path := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
				if err := os.WriteFile("/proc/sys/"+path, []byte("1"), 0); err != nil {
					return fmt.Errorf("host %s: %w", h.Name, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	switch {
	case h.Bird != "":
		return s.startDaemon(h.Name, "bird", h.Bird, func(conf, dir string) []string {
			return []string{"-f", "-c", conf, "-s", filepath.Join(dir, "bird.ctl"), "-P", filepath.Join(dir, "bird.pid")}
		})
	case h.GoBGPd != "":
		return s.startDaemon(h.Name, "gobgpd", h.GoBGPd, func(conf, _ string) []string {
			return []string{"-t", "toml", "-f", conf, "--api-hosts", "127.0.0.1:50051"}
		})
	}
	return nil
}

// startDaemon runs a program with a configuration file in a host's namespace.
func (s *supervisor) startDaemon(host, program, conf string, args func(conf, dir string) []string) error {
	path, err := lookPath(program, "/", []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"})
	if err != nil {
		return fmt.Errorf("host %s runs %s: %w", host, program, err)
	}
	dir := s.dir.Host(host)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	file := filepath.Join(dir, program+".conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	log, err := os.OpenFile(filepath.Join(dir, program+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	defer log.Close()
	cmd := exec.Command(path, args(file, dir)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := ns.Do(host, func() error { return s.reaper.start(cmd) }); err != nil {
		return fmt.Errorf("host %s: %s: %w", host, program, err)
	}
	go func() { _ = s.reaper.wait(cmd) }()
	return nil
}
