package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/plumbnet/plumb/cni/install"
	"github.com/spf13/cobra"
)

// installOptions are the flags of install-cni.
type installOptions struct {
	host      install.Host
	plugin    string
	conflist  string
	conf      install.Conf
	uninstall bool
}

func installCNICommand(o *options) *cobra.Command {
	i := &installOptions{}
	cmd := o.printing(&cobra.Command{
		Use:   "install-cni",
		Short: "install the CNI plugin and its conflist, also while pods are made",
		Long: "Install the CNI plugin, and then the conflist by which container runtimes call it. Each is\n" +
			"replaced in one step, and only where it differs, so that this can be done at any time, again\n" +
			"and again. --bin-dir and --conf-dir are where to write: in a container, where the host's\n" +
			"directories are mounted. --file, --node, --state-dir and --mtu go into the conflist as they\n" +
			"are: name paths as the host does.\n" +
			"Warnings say what keeps a runtime from using what was installed. Exit status: 0 it is there.",
		Example: `  plumb install-cni
  plumb install-cni --bin-dir /host/opt/cni/bin --conf-dir /host/etc/cni/net.d
  plumb install-cni --bin-dir /usr/lib/cni
  plumb install-cni --uninstall`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return i.run(cmd, o) },
	}, "text", "json")
	f := cmd.Flags()
	f.StringVar(&i.host.BinDir, "bin-dir", install.DefaultBinDir, "`directory` of the host's CNI plugins")
	f.StringVar(&i.host.ConfDir, "conf-dir", install.DefaultConfDir, "`directory` of the host's CNI configurations")
	f.StringVar(&i.host.ConfName, "conf-name", install.DefaultConfName, "`name` of the conflist; runtimes use the one that sorts first")
	f.StringVar(&i.plugin, "plugin", "", "the plugin's `file` (default plumb-cni beside this program)")
	f.StringVar(&i.conflist, "conflist", "", "`file` to install as the conflist, instead of the built-in one")
	f.StringSliceVar(&i.conf.Chain, "chain", install.Chainable(), "`plugins` that the built-in conflist calls behind plumb-cni; --chain= for none")
	f.IntVar(&i.conf.MTU, "mtu", 0, "MTU of pods' interfaces, in `bytes` (default what the state file says, or leaves)")
	f.BoolVar(&i.uninstall, "uninstall", false, "remove the conflist, and then the plugin")
	return cmd
}

func (i *installOptions) run(cmd *cobra.Command, o *options) error {
	report, err := i.carryOut(cmd, o)
	if o.output == "json" && len(report.Steps) > 0 {
		return errors.Join(err, printJSON(o.stdout, report))
	}
	for _, s := range report.Steps {
		fmt.Fprintln(o.stdout, s)
	}
	for _, w := range report.Warnings {
		fmt.Fprintln(o.stderr, "plumb: warning:", w)
	}
	return err
}

func (i *installOptions) carryOut(cmd *cobra.Command, o *options) (install.Report, error) {
	if i.uninstall {
		if err := without(cmd, "--uninstall removes what is there", "plugin", "conflist", "chain", "mtu"); err != nil {
			return install.Report{}, err
		}
		return install.Uninstall(cmd.Context(), i.host)
	}
	s, err := i.source(cmd, o)
	if err != nil {
		return install.Report{}, err
	}
	return install.Install(cmd.Context(), i.host, s)
}

// source finds or makes what is to be installed.
func (i *installOptions) source(cmd *cobra.Command, o *options) (s install.Source, err error) {
	if s.Plugin = i.plugin; s.Plugin == "" {
		self, err := os.Executable()
		if err != nil {
			return s, fmt.Errorf("plugin: %w; give --plugin", err)
		}
		if s.Plugin, err = install.Beside(self); err != nil {
			return s, fmt.Errorf("plugin: %w, or given as --plugin", err)
		}
	}
	if i.conflist != "" {
		s.Name = i.conflist
		if err := without(cmd, "--conflist is installed as it is", "file", "node", "state-dir", "mtu", "chain"); err != nil {
			return s, err
		}
		s.Conflist, err = os.ReadFile(i.conflist)
		return s, err
	}
	s.Name = "the built-in conflist"
	// The runtime starts the plugin in a directory of its own.
	for _, path := range []struct {
		to   *string
		from string
	}{{&i.conf.File, o.file}, {&i.conf.StateDir, o.stateDir}} {
		if *path.to, err = filepath.Abs(path.from); err != nil {
			return s, fmt.Errorf("%s: %w", path.from, err)
		}
	}
	// Not $NODE_NAME, nor the host name, which is a container's perhaps: where the
	// conflist says nothing, the plugin finds the name on the host itself.
	if cmd.Flags().Changed("node") {
		i.conf.Node = o.node
	}
	s.Conflist, err = i.conf.Conflist()
	return s, err
}

// without gives an error where flags are given that would do nothing.
func without(cmd *cobra.Command, why string, flags ...string) error {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("%s: give no --%s with it", why, name)
		}
	}
	return nil
}
