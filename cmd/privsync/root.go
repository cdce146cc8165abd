package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/panics"
)

// app is one invocation of the program: its streams, its environment and the
// flags that every command has.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr *sharedWriter
	env    lookup
	now    func() time.Time

	logFormat  choice
	logLevel   choice
	noProgress bool
	quiet      bool

	insecurePermissions bool            // go on although others can write what steers the run
	warnedOf            map[string]bool // paths that others can write

	log     *slog.Logger
	notices *slog.Logger // like log, but no level silences it; used with JSON logs
	runID   string
	finish  string // the last line on stderr: where the report is; empty for none
	place   string // where the report is; empty: nowhere

	interrupts *interrupts
	defect     *atomic.Pointer[error] // a panic beside the run, see noteDefect; copies share it
	closers    []func() error         // called when the command has ended
	reading    context.Context        // limits the reading of files; nil: an interrupt does
}

// run is the whole program but for os.Exit: it parses args, runs the command
// and returns the exit code. Results go to stdout, everything else to stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env lookup) int {
	a := &app{
		stdin: stdin, stdout: &keptOn{w: stdout}, stderr: &sharedWriter{w: &keptOn{w: stderr}}, env: env, now: time.Now,
		logFormat: newChoice("text", "json"), logLevel: newChoice("info", "debug", "warn", "error"),
		defect: new(atomic.Pointer[error]),
	}
	a.runID = newRunID()
	a.setLogger()
	a.interrupts = catchInterrupts(ctx, a)
	defer a.interrupts.release()

	return exitCode(a.execute(a.interrupts.soft, args))
}

// execute runs one command line, prints the error that it ends with, and then
// the line that names the report.
func (a *app) execute(ctx context.Context, args []string) error {
	root, err := newRoot(a)
	if err == nil {
		root.SetArgs(args)
		root.SetIn(a.stdin)
		root.SetOut(a.stdout)
		root.SetErr(a.stderr)
		err = panics.Catch(func() error { return root.ExecuteContext(ctx) })
	}
	for _, end := range a.closers {
		if e := end(); e != nil {
			a.log.Debug("not closed", "error", e)
		}
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	if defect := a.defect.Load(); defect != nil {
		err = *defect
	}
	if err != nil {
		a.tellDefect(err)
		printError(a, err)
	}
	switch {
	case a.finish != "" && a.jsonLogs():
		a.notices.Info(a.finish, "report", a.place)
	case a.finish != "":
		a.notice(a.finish)
	}
	return err
}

const rootLong = `privsync keeps the privileges of users and groups on a MicroStrategy
Intelligence Server as a YAML policy describes them.

  validate   checks the policy file, offline
  plan       shows what would have to change; writes nothing to the server
  apply      plans, asks, changes, reads everything back, and writes a report

Start with "privsync demo": the whole story on a simulated server, offline.
Start on a real server with "privsync doctor", then "privsync export".

The server is named by --url or PRIVSYNC_URL, the user by --username or
PRIVSYNC_USERNAME. The password comes from PRIVSYNC_PASSWORD or from the file
that --password-file names; no flag takes a secret. A flag beats a variable, a
variable beats the policy's environment section. A server that only a policy, a
plan or a report names gets a login if PRIVSYNC_SERVERS, servers in the user's
configuration folder (~/.config/privsync) or /etc/privsync/servers lists its URL.`

// newRoot returns the command tree.
func newRoot(a *app) (*cobra.Command, error) {
	root := &cobra.Command{
		Use:   "privsync",
		Short: "Keep MicroStrategy privileges as a policy describes them",
		Long:  rootLong,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args[0])
		},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       toolVersion(),
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			a.setLogger()
			if err := nothingEmpty(cmd, args); err != nil {
				return err
			}
			if err := filesApart(cmd, args); err != nil {
				return err
			}
			return readVariables(cmd.Flags(), a.env)
		},
	}
	root.SetVersionTemplate("privsync {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if args := cmd.Flags().Args(); len(args) > 0 && cmd.HasAvailableSubCommands() {
			return unknownCommand(cmd, args[0]) // it is that one's flag, not cmd's
		}
		return hinted(err, flagHint(cmd, err))
	})
	fs := root.PersistentFlags()
	fs.Var(&a.logFormat, "log-format", "format of the messages on stderr: text or json")
	fs.Var(&a.logLevel, "log-level", "least level of the messages on stderr: debug, info, warn or error")
	fs.BoolVar(&a.noProgress, "no-progress", false, "show no progress")
	fs.BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no notices, and nothing at all of an apply without work; warnings, errors and the report's path are still printed")
	fs.BoolVar(&a.insecurePermissions, "insecure-permissions", false, "go on with a warning where others can write the state folder, its journals and locks, or a file that holds a secret")

	root.AddGroup(
		&cobra.Group{ID: "work", Title: "The daily work:"},
		&cobra.Group{ID: "look", Title: "Looking closer:"},
		&cobra.Group{ID: "after", Title: "Afterwards:"},
		&cobra.Group{ID: "try", Title: "Without a server:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("work", newValidate(a), newPlan(a), newApprove(a), newApply(a), newAudit(a), newCommand(a))
	add("look", newShow(a), newWho(a), newExplain(a), newDiff(a), newHistory(a), newExport(a), newPrivileges(a), newLicences(a), newDoctor(a))
	add("after", newRollback(a), newRecover(a), newUnlock(a), newVerifyReports(a), newState(a), newFleet(a))
	add("try", newDemo(a), newSim(a), newSchema(a), newVersion(a))
	for _, c := range root.Commands() {
		checkArguments(c)
		if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 {
			c.ValidArgsFunction = cobra.NoFileCompletions // otherwise a shell offers files that mean nothing
		}
	}
	completeValues(root)
	addMan(a, root)
	describeCompletion(root)
	strictHelp(root)
	return root, addTopics(root)
}

// checkArguments wraps the check of positional arguments so that a mistake in
// them ends with a hint that shows the usage.
func checkArguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return hinted(err, argumentHint(cmd, args))
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		checkArguments(sub)
	}
}

// setLogger makes the logger that the flags ask for. JSON lines carry the id of
// the run. Text and JSON never let a control character of a server's text
// through.
func (a *app) setLogger() {
	var level slog.Level
	_ = level.UnmarshalText([]byte(a.logLevel.value)) // the flag admits only valid levels
	if a.quiet && level < slog.LevelWarn {
		level = slog.LevelWarn
	}
	options := &slog.HandlerOptions{Level: level}
	w := &jsonSafe{w: a.stderr}
	// An error in the arguments comes after the flags, and before they are acted on.
	a.notices = slog.New(slog.NewJSONHandler(w, nil)).With("run", a.runID)
	if a.jsonLogs() {
		a.log = slog.New(slog.NewJSONHandler(w, options)).With("run", a.runID)
		return
	}
	// The text handler quotes whatever is not printable.
	a.log = slog.New(slog.NewTextHandler(commandSafe{a.stderr}, options))
}

func (a *app) jsonLogs() bool { return a.logFormat.value == "json" }

// commandSafe passes lines of a log on and breaks what the runner of a CI system
// would take for a command in them.
type commandSafe struct{ w io.Writer }

// Write passes p, whole lines, on. It returns len(p) unless the writer behind it fails.
func (c commandSafe) Write(p []byte) (int, error) {
	if _, err := io.WriteString(c.w, clean.Commands(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sharedWriter makes one stream safe for log lines, notices and a progress bar
// that come from several goroutines; before anything else is written the bar's
// line is cleared.
type sharedWriter struct {
	mu    sync.Mutex
	w     io.Writer
	clear func() // clears the progress bar's line; nil when there is none
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clear != nil {
		s.clear()
	}
	return s.w.Write(p)
}

// setClear says how to take the progress bar away; nil says that there is none.
func (s *sharedWriter) setClear(clear func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clear != nil {
		s.clear()
	}
	s.clear = clear
}

// say writes a line for people to stderr, unless --quiet. With JSON logs it is a log
// record, so that every line on stderr stays JSON.
func (a *app) say(format string, args ...any) {
	if a.quiet {
		return
	}
	a.notice(fmt.Sprintf(format, args...))
}

// notice is say that --quiet does not silence. It is one line whatever text holds:
// file names are in it.
func (a *app) notice(text string) {
	if a.jsonLogs() {
		a.notices.Info(text)
		return
	}
	fmt.Fprintln(a.stderr, render.Clean(text))
}

// newRunID returns the id of a run: random enough that no two runs share one.
// Where ids are listed the time of the run's start stands before them.
func newRunID() string {
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails, says its documentation
	return hex.EncodeToString(id[:])
}
