package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/node"
)

const configHelp = `Looks at a configuration file of zrsd serve, which is one of runzeo with the sections of zc.zrs
and our own: see docs/configuration.md. No storage is opened and nothing is started.`

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config check|show FILE",
		Short: "check or show a configuration file",
		Long:  configHelp,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("there is no command %q: see zrsd config --help", args[0]))
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(configCheckCommand(), configShowCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check {FILE | -C FILE}",
		Short: "list all errors in a configuration file",
		Long: "Lists all errors, with line and column, and all settings that have no effect in zrsd. Where there is\n" +
			"no error in the file, reads the certificates and secrets that it names.",
		Example: "  zrsd config check zeo.conf",
		Args:    fileArgument(&file),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err == nil {
				err = served(cfg)
			}
			if err == nil {
				err = node.Check(process(cfg, hclog.NewNullLogger(), new(node.Reloads)))
			}
			if err != nil {
				return usage(err)
			}
			for _, n := range cfg.Notes {
				fmt.Fprintln(cmd.OutOrStdout(), n)
			}
			return nil
		},
	}
	configureFlag(cmd.Flags(), &file)
	return cmd
}

// configureFlag adds the option by which a server is given its configuration file.
func configureFlag(flags *pflag.FlagSet, file *string) {
	flags.StringVarP(file, "configure", "C", "", "configuration `FILE`, as for zrsd serve")
}

// fileArgument takes the configuration file as an argument, where the option does not give it.
func fileArgument(file *string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if *file != "" {
			return arguments()(cmd, args)
		}
		if err := arguments("FILE")(cmd, args); err != nil {
			return err
		}
		*file = args[0]
		return nil
	}
}

func configShowCommand() *cobra.Command {
	var asJSON bool
	var file string
	cmd := &cobra.Command{
		Use:     "show {FILE | -C FILE} [--json]",
		Short:   "show every value in effect and where it came from",
		Long:    "Shows every value in effect, defaults included, and where it came from.",
		Example: "  zrsd config show zeo.conf",
		Args:    fileArgument(&file),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return usage(err)
			}
			if asJSON {
				return showSettingsJSON(cmd.OutOrStdout(), cfg)
			}
			return showSettings(cmd.OutOrStdout(), cfg)
		},
	}
	configureFlag(cmd.Flags(), &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "a list of objects with section, key, value, source and default")
	return cmd
}

func showSettings(out io.Writer, cfg *config.Config) error {
	tw := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	section := ""
	for _, s := range cfg.Settings {
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(tw, "<%s>\n", section)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%v\n", s.Key, s.Text, s.From)
	}
	return tw.Flush()
}

// A shownSetting is one object of config show --json, which is a contract.
type shownSetting struct {
	Section string `json:"section"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Source  string `json:"source"`
	Default bool   `json:"default"`
}

func showSettingsJSON(out io.Writer, cfg *config.Config) error {
	list := make([]shownSetting, 0, len(cfg.Settings))
	for _, s := range cfg.Settings {
		list = append(list, shownSetting{s.Section, s.Key, s.Text, s.From.String(), s.From.Preset})
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(list)
}
