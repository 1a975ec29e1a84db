package main

import (
	"cmp"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/lab/ns"
)

// Each network is broken for real, and what trace says of it is what a ping says;
// then it is mended, and both are well again.
func TestTraceOfBrokenRoutes(t *testing.T) { testBroken(t, brokenRoutes()) }

func TestTraceOfBrokenDevices(t *testing.T) { testBroken(t, brokenDevices()) }

func TestTraceOfBrokenRules(t *testing.T) { testBroken(t, brokenRules()) }

func testBroken(t *testing.T, list []broken) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		d := newTraced(t, tracedState)
		d.watch("n1", "n2", "n3")
		for _, c := range list {
			mended := false
			t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
				d.t = t
				if c.how != "" {
					d.sh(c.at, c.how)
				}
				args := append([]string{cmp.Or(c.from, "a1"), c.to}, strings.Fields(c.args)...)
				// The agents hear of some of it by events.
				var err error
				for end := time.Now().Add(patience / 2); ; time.Sleep(20 * time.Millisecond) {
					if err = d.judge(&c, args); err == nil || time.Now().After(end) {
						break
					}
				}
				if err != nil {
					t.Error(err)
				}
				six := strings.Contains(c.args, "-6")
				if err := d.ping(cmp.Or(c.from, "a1"), d.at(c.to, six), map[bool]time.Duration{true: patience, false: unheard}[c.arrives]); !c.noPing && (err == nil) != c.arrives {
					t.Errorf("traced so, and a ping: %v", err)
				}
				if c.unmend != "" {
					d.sh(c.at, c.unmend)
				}
				if mended = c.mend == ""; mended {
					return
				}
				d.sh(c.at, c.mend)
				for end := time.Now().Add(patience / 2); ; time.Sleep(20 * time.Millisecond) {
					r, text := d.trace(args...)
					if r.OK() && len(r.Warnings) == 0 {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("mended, and still:\n%s", text)
					}
				}
				if err := d.ping(cmp.Or(c.from, "a1"), d.at(c.to, six), patience); err != nil {
					t.Fatalf("mended, and a ping: %v", err)
				}
				mended = true
			})
			if d.t = t; !mended {
				t.FailNow() // what follows would be broken in two ways
			}
		}
		// The table that marks packets goes once the agent notices that nobody asks any more.
		for n := range tracedPods {
			d.eventually("the table is gone", func() error {
				var out []byte
				err := ns.Do(n, func() (err error) { out, err = exec.Command("nft", "list", "tables").CombinedOutput(); return err })
				if err == nil && strings.TrimSpace(string(out)) != "table inet plumb" {
					err = fmt.Errorf("%s has the tables %s", n, out)
				}
				return err
			})
		}
	})
}

// judge traces, and says what is otherwise than it should be.
func (d *traced) judge(c *broken, args []string) error {
	d.t.Helper()
	r, text := d.trace(args...)
	warnings := strings.Join(r.Warnings, "\n")
	switch {
	case r.OK() != c.arrives:
		return fmt.Errorf("%s\n%s", r.Outcome, text)
	case !c.arrives && (r.Fault.Place != c.place || !strings.Contains(r.Fault.Why, c.why) || !strings.Contains(r.Fault.Mend, c.says)):
		return fmt.Errorf("want it dropped at %s: %s; %s\n%s", c.place, c.why, c.says, text)
	case !strings.Contains(warnings, c.warns):
		return fmt.Errorf("want a warning: %s\n%s", c.warns, text)
	}
	return nil
}
