package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/examples"
	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// The account of the embedded environment that the demo works with.
const (
	demoUser     = mstrtest.ServiceLogin
	demoPassword = mstrtest.ServicePassword
)

func newDemo(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The whole story on a simulated server, offline",
		Long: `Serve a simulated company inside this process, and run the daily work against
it with the very commands that a real server gets: validate the policy, learn which
privileges cost licences, plan, apply, plan again (nothing is left to do), and show
what the report says.

Everything is embedded: it works from any folder, without a network, and touches
nothing but its own folder, whose name it prints.`,
		Example: "  privsync demo\n  privsync demo --dir try-privsync",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), dir) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "put the demo's files into `DIR` (default: a new temporary folder)")
	return cmd
}

func (a *app) demo(ctx context.Context, dir string) error {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "privsync-demo-"); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	policyFile, reportFile, licencesFile := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "report.json"), filepath.Join(dir, "licences.json")
	text, err := examples.Files.ReadFile("policy.yaml")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := os.WriteFile(policyFile, text, 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	env, err := loadEnvironment("")
	if err != nil {
		return err
	}
	server, err := startSimulator(env, mstrtest.Options{}, "127.0.0.1:0", "")
	if err != nil {
		return err
	}
	err = a.story(ctx, server, dir, policyFile, reportFile, licencesFile)
	if e := server.stop(); err == nil && e != nil {
		err = fmt.Errorf("simulated server: %w", e)
	}
	return err
}

// story runs the demo's commands one after the other.
func (a *app) story(ctx context.Context, server *simulator, dir, policyFile, reportFile, licencesFile string) error {
	a.title("A simulated MicroStrategy server is running at " + server.url)
	fmt.Fprintf(a.stdout, "It plays a company with %d users and %d groups. The policy is\n%s\n",
		len(server.Environment().Users), len(server.Environment().Groups), render.Clean(policyFile))
	steps := []struct {
		title string
		args  []string
		want  int
	}{
		{"1. Is the policy well-formed? (offline)", []string{"validate", "-f", policyFile}, executor.ExitOK},
		{"2. Which privileges cost licences? (asked about a user who holds everything)", []string{"licences", "learn", "--user", "administrator", "--out", licencesFile}, executor.ExitOK},
		{"3. What would have to change, and what does it cost? (a dry run: only reads)", []string{"plan", "-f", policyFile, "--licences", licencesFile, "--detailed-exitcode"}, executor.ExitDrift},
		{"4. Apply it, read everything back, report", []string{"apply", "-f", policyFile, "--licences", licencesFile, "--yes", "--report", reportFile, "--state-dir", filepath.Join(dir, "state")}, executor.ExitOK},
		{"5. Plan again: nothing is left to do", []string{"plan", "-f", policyFile, "--detailed-exitcode"}, executor.ExitOK},
	}
	for _, step := range steps {
		a.title(step.title)
		fmt.Fprintf(a.stdout, "$ privsync %s\n", render.Clean(strings.Join(step.args, " ")))
		err := a.child(server.url).execute(ctx, step.args)
		if code := exitCode(err); code == executor.ExitInterrupted {
			return errInterrupted
		} else if code != step.want {
			return &ending{code: executor.ExitError, err: fmt.Errorf("demo: this step ended with exit code %d, not %d", code, step.want),
				hint: "this is a bug in privsync: please report it with the text above"}
		}
	}
	a.title("6. What is in the report?")
	if err := a.summarizeReport(reportFile); err != nil {
		return err
	}
	writes := 0
	for _, w := range server.Writes() {
		if w.Applied {
			writes++
		}
	}
	fmt.Fprintf(a.stdout, "\nThe server saw %s, %d of them writes; %s in passing.\n",
		clean.Count(int(server.Requests()), "request"), writes,
		clean.Count(len(server.LossesInPassing(server.Snapshot())), "privilege was lost", "privileges were lost"))
	fmt.Fprintf(a.stdout, "\nNext: privsync sim serves this company, privsync doctor looks at your own server,\nprivsync export writes its present state as a policy.\n")
	return nil
}

// child is an invocation inside this one, for the simulated server at url: with
// this one's streams and general flags, and an environment of its own.
func (a *app) child(url string) *app {
	c := *a
	c.finish = ""
	c.runID = newRunID()
	c.env = func(name string) (string, bool) {
		switch name {
		case "PRIVSYNC_URL":
			return url, true
		case "PRIVSYNC_USERNAME":
			return demoUser, true
		case passwordVariable:
			return demoPassword, true
		}
		if strings.HasPrefix(name, "PRIVSYNC_") {
			return "", false
		}
		return a.env(name)
	}
	return &c
}

// title writes a heading of the demo.
func (a *app) title(text string) {
	line := strings.Repeat("-", len([]rune(text)))
	if a.textOptions(a.stdout).Color {
		text = "\x1b[1m" + render.Clean(text) + "\x1b[0m"
	} else {
		text = render.Clean(text)
	}
	fmt.Fprintf(a.stdout, "\n%s\n%s\n", text, line)
}

// summarizeReport prints where the report is, and its run and summary.
func (a *app) summarizeReport(path string) error {
	doc, err := a.readDocument(path)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	report := doc.(*executor.Report)
	fmt.Fprintf(a.stdout, "The JSON report is %s (show it with privsync show).\nrun:\n", render.Clean(path))
	if err := writeJSON(a.stdout, report.Run); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "summary:\n")
	return writeJSON(a.stdout, report.Summary)
}
