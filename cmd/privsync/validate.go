package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/policy"
)

func newValidate(a *app) *cobra.Command {
	var (
		flags   policyFlags
		catalog string
		format  = newChoice("text", "json", "github")
	)
	cmd := &cobra.Command{
		Use:   "validate -f FILE…",
		Short: "Check a policy, offline",
		Long: `Check a policy without a server: its form, its names within the file, its
dates. All problems are reported at once, each as file:line:column: message.
Warnings name what is valid and probably not meant, and what a folder holds that
is not read; they do not change the exit code.

A licence map that the policy names is checked as well.

Names of privileges are known only to a server. With --catalog they are checked
too, against a catalogue saved with "privsync privileges --save FILE".

--format github prints workflow commands, which GitHub shows at the line of the
pull request. The exit code is 0 for a valid policy and 1 otherwise.`,
		Example: `  privsync validate -f policy.yaml
  privsync validate -f policies/ --env prod --catalog catalogue.json
  privsync validate -f policies/ --format github`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			pol, err := flags.read(a)
			var problems policy.Problems
			if err != nil && !errors.As(err, &problems) {
				return err
			}
			if pol != nil && catalog != "" {
				unknown, err := await(a, func() (policy.Problems, error) {
					known, err := readCatalogue(catalog)
					if err != nil {
						return nil, err
					}
					return pol.CheckCatalogue(known), nil
				})
				if err != nil {
					return err
				}
				problems = append(problems, unknown...)
			}
			if pol != nil {
				broken, err := checkMap(a, pol)
				if err != nil {
					return err
				}
				problems = append(problems, broken...)
			}
			if err := a.writeValidation(format.value, pol, problems, flags.at(a)); err != nil {
				return err
			}
			if len(problems) > 0 {
				return &ending{code: executor.ExitError, err: errors.New(countProblems(problems)), hint: "correct the policy at the places named"}
			}
			return nil
		},
	}
	flags.register(cmd)
	addFormat(cmd, &format)
	cmd.Flags().StringVar(&catalog, "catalog", "", "check privilege names against the catalogue in `FILE`")
	return cmd
}

// checkMap returns the problems of the licence map that the policy names. That there
// is none is a warning, as it is in a plan.
func checkMap(a *app, pol *policy.Policy) (policy.Problems, error) {
	var problems policy.Problems
	in, err := new(licenceFlags).readMap(a, pol)
	if err != nil && !errors.As(err, &problems) {
		return nil, err
	}
	if in != nil && in.Map == nil {
		pol.Warnings = append(pol.Warnings, policy.Problem{
			Pos: pol.Licences.Pos, Message: fmt.Sprintf("the licence map %s is not there", clean.Quote(in.Missing)), Hint: "learn one with privsync licences learn",
		})
	}
	return problems, nil
}

// writeValidation writes the result of a validation. The policy is nil when it could not
// be read.
func (a *app) writeValidation(format string, pol *policy.Policy, problems policy.Problems, now time.Time) error {
	var warnings policy.Problems
	if pol != nil {
		warnings = pol.Warnings
	}
	switch format {
	case "json":
		return render.ProblemsJSON(a.stdout, problems, warnings)
	case "github":
		return render.GitHub(a.stdout, problems, warnings, a.inRepository())
	}
	if len(problems) > 0 || pol == nil {
		return render.ProblemsText(a.stdout, problems, a.textOptions(a.stdout))
	}
	text := fmt.Sprintf("valid: policy %s with %s", render.Clean(pol.Name), clean.Count(len(pol.Principals), "entry"))
	if len(pol.Rules) > 0 {
		text += " and " + clean.Count(len(pol.Rules), "rule")
	}
	text += fmt.Sprintf(", from %s\n", clean.Count(len(pol.Files), "file"))
	if n := countExpired(pol, now); n > 0 {
		text += fmt.Sprintf("note: %s expired on %s\n", clean.Count(n, "privilege or exception has", "privileges and exceptions have"), now.UTC().Format(time.DateOnly))
	}
	if _, err := io.WriteString(a.stdout, text); err != nil {
		return err
	}
	return render.WarningsText(a.stdout, warnings, a.textOptions(a.stdout))
}

// countExpired counts the privileges in entries and the exceptions from rules and selectors whose
// last day is over at now.
func countExpired(pol *policy.Policy, now time.Time) int {
	n := 0
	selector := func(s *policy.Selector) {
		for _, x := range s.Except {
			if x.Expired(now) {
				n++
			}
		}
	}
	if pol.Safety != nil {
		for _, s := range pol.Safety.ProtectedBy {
			selector(s)
		}
	}
	for _, e := range pol.Principals {
		if e.Selector != nil {
			selector(e.Selector)
		}
		for l := range e.Listed.All() {
			if l.Expired(now) {
				n++
			}
		}
		for _, l := range e.Forbid {
			if l.Expired(now) {
				n++
			}
		}
	}
	for _, r := range pol.Rules {
		for _, x := range r.Except {
			if x.Expired(now) {
				n++
			}
		}
	}
	return n
}

// countProblems is the one-line summary of problems.
func countProblems(problems policy.Problems) string {
	return "the policy is not valid: " + clean.Count(len(problems), "problem")
}

// writeJSON writes doc indented, with the characters that could fool a terminal
// escaped.
func writeJSON(w io.Writer, doc any) error {
	enc := json.NewEncoder(&jsonSafe{w: w})
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}
