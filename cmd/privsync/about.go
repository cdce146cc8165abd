package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/planner"
	"privsync/policy"
	"privsync/schema"
)

// toolVersion returns the version that the linker set, or else the one that the
// binary's build information knows, or "devel".
func toolVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// toolRef names this program in the documents that it writes.
func toolRef() planner.Tool { return planner.Tool{Name: "privsync", Version: toolVersion()} }

// buildInfo is what version --format json prints.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(a *app) *cobra.Command {
	format := newChoice("text", "json")
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of privsync",
		Long: `Print the version of privsync, the commit it was built from where the build
knows it, and the Go version and platform. Quote this in a bug report; every
plan and report carries the version as well.`,
		Example: "  privsync version\n  privsync version --format json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := buildInfo{Version: toolVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if bi, ok := debug.ReadBuildInfo(); ok {
				for _, s := range bi.Settings {
					switch s.Key {
					case "vcs.revision":
						info.Commit = s.Value
					case "vcs.time":
						info.Time = s.Value
					case "vcs.modified":
						info.Modified = s.Value == "true"
					}
				}
			}
			if format.value == "json" {
				enc := json.NewEncoder(a.stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(info)
			}
			text := fmt.Sprintf("privsync %s (%s, %s)", info.Version, info.Go, info.Platform)
			if info.Commit != "" {
				text += " commit " + info.Commit
			}
			_, err := fmt.Fprintln(a.stdout, text)
			return err
		},
	}
	addFormat(cmd, &format)
	return cmd
}

func newSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema NAME",
		Short: "Print a JSON Schema: " + strings.Join(schema.Names(), ", "),
		Long: `Print one of the JSON Schemas (draft 2020-12) that privsync itself checks with,
as one self-contained document.

An editor with a YAML language server completes and checks a policy when its
first line names the saved schema:

  # yaml-language-server: $schema=policy.schema.json

The names: ` + strings.Join(schema.Names(), ", ") + `.`,
		Example: `  privsync schema policy > policy.schema.json
  privsync schema report | jq .properties.run`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: schema.Names(),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := schema.Text(args[0])
			if err != nil {
				hint := "the names are " + strings.Join(schema.Names(), ", ")
				if near := policy.Suggest(args[0], schema.Names()); near != "" {
					hint = fmt.Sprintf("did you mean %s? %s", clean.Quote(near), hint)
				}
				return hinted(fmt.Errorf("there is no schema %s", clean.Quote(args[0])), hint)
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
}
