package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  vippyctl version",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "vippyctl", built(debug.ReadBuildInfo()))
			return err
		},
	}
}

// built names the module's version and the commit, as far as the build recorded them.
func built(info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "devel"
	}
	version, commit := info.Main.Version, ""
	if version == "" || version == "(devel)" {
		version = "devel"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = " (" + s.Value + ")"
		case s.Key == "vcs.modified" && s.Value == "true":
			commit += " modified"
		}
	}
	return version + commit
}
