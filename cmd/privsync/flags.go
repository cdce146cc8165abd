package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"privsync/planner"
	"privsync/policy"
)

// variableOf is the annotation of a flag that an environment variable sets.
const variableOf = "privsync_variable"

// bindVariable says that the environment variable name sets the flag when the
// command line does not.
func bindVariable(fs *pflag.FlagSet, flag, name string) {
	f := fs.Lookup(flag)
	f.Usage += " (" + name + ")"
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[variableOf] = []string{name}
}

// readVariables sets every flag that has a variable and was not given on the
// command line. A variable that is empty counts as not set: CI systems define
// the variables of absent secrets as empty. The error names the variable.
func readVariables(fs *pflag.FlagSet, env lookup) error {
	var err error
	fs.VisitAll(func(f *pflag.Flag) {
		names := f.Annotations[variableOf]
		if err != nil || f.Changed || len(names) == 0 {
			return
		}
		value, ok := env(names[0])
		if !ok || value == "" {
			return
		}
		if e := f.Value.Set(value); e != nil {
			err = hinted(fmt.Errorf("variable %s: %w", names[0], e),
				fmt.Sprintf("correct %s, or give --%s, which beats it", names[0], f.Name))
		}
		// Changed stays false: it tells the command line from the variable.
	})
	return err
}

// lookup finds an environment variable; its signature is that of [os.LookupEnv].
type lookup func(name string) (value string, ok bool)

// policyFlags are the flags of commands that read a policy.
type policyFlags struct {
	files []string
	env   string
	now   instant
}

func (p *policyFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringArrayVarP(&p.files, "file", "f", nil, "policy `FILE`, or folder of *.yaml and *.yml files with the folders below it; may be repeated")
	fs.StringVar(&p.env, "env", "", "use the overlay `NAME` of the policy (dev, test, prod …)")
	fs.Var(&p.now, "now", "judge expiry dates as of this `TIME` (RFC 3339 or a date) instead of the present")
}

// load reads and validates the policy, and says on stderr what is valid and probably
// not meant. Without -f it says how to give one.
func (p *policyFlags) load(a *app) (*policy.Policy, error) {
	pol, err := p.read(a)
	if err == nil {
		for _, w := range pol.Warnings {
			a.log.Warn("policy", "at", w.Pos.String(), "problem", w.Message, "hint", w.Hint)
		}
	}
	return pol, err
}

// read is load without the warnings.
func (p *policyFlags) read(a *app) (*policy.Policy, error) {
	if len(p.files) == 0 {
		return nil, hinted(fmt.Errorf("no policy given"), "name the policy's file or folder with -f, for example -f policy.yaml")
	}
	return await(a, func() (*policy.Policy, error) {
		return policy.Load(p.files, policy.Options{EnvName: p.env, Stdin: a.stdin})
	})
}

// at returns the time that dates in the policy are compared with.
func (p *policyFlags) at(a *app) time.Time {
	if !p.now.IsZero() {
		return p.now.Time
	}
	return a.now()
}

// guardFlags are the flags that override the policy's guards for one run.
type guardFlags struct {
	maxRevokes limit
	maxChanged limit
	licences   products
}

func (g *guardFlags) register(cmd *cobra.Command) {
	g.maxRevokes.percentOK = true
	fs := cmd.Flags()
	fs.Var(&g.maxRevokes, "max-revokes", "allow this many revokes in this run, a number or a percent of the observed direct grants; beats safety.maxRevokes")
	fs.Var(&g.maxChanged, "max-changed", "allow this many changed principals in this run; beats safety.maxChangedPrincipals")
	fs.Var(&g.licences, "allow-licences", "let this run exceed safety.licences for `PRODUCT`, or not know its number; may be repeated")
}

func (g *guardFlags) overrides() planner.Overrides {
	return planner.Overrides{MaxRevokes: g.maxRevokes.limit, MaxChangedPrincipals: g.maxChanged.limit, Licences: g.licences}
}

// addFormat registers --format with its completion.
func addFormat(cmd *cobra.Command, c *choice) {
	cmd.Flags().VarP(c, "format", "", "output `FORMAT`: "+strings.Join(c.allowed, ", "))
}
