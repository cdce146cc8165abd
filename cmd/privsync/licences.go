package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/document"
	"privsync/input"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

func newLicences(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "licences",
		Short: "Learn which privileges cost licences, and show who consumes which",
		Long: `On this platform privileges decide licences: one privilege of a product makes an
enabled user consume a named-user licence of it, whether it is held directly, through
a group or through a security role.

"privsync licences learn" asks the server which privileges belong to which product,
and writes a map, which is reviewed and kept beside the policy. Nothing here changes a
licence. "privsync licences show" says who consumes which product, and by what.`,
		Example: `  privsync licences learn --user administrator --out licences.json
  privsync licences show -f policy.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLicencesLearn(a), newLicencesShow(a))
	return cmd
}

func newLicencesLearn(a *app) *cobra.Command {
	var (
		conn      connectionFlags
		user, out string
	)
	cmd := &cobra.Command{
		Use:   "learn",
		Short: "Ask the server which privileges belong to which product; write the map",
		Long: `Ask, for every product of the vendor's enumeration, which privileges of one user
consume a licence of it, and write what that comes to as a map (privsync schema
licences). No list tells it, so ask about a user who holds everything; without
--user it is the session's own.

What the user holds and no product names is known to cost nothing (noProduct). What
the user does not hold is unknown: a warning names it. A product that the server
refuses alone is left out; one that could not be asked about is not known (notRead),
and then nothing is known to cost nothing.

Exit codes: 0; 1 if the server's version cannot tell, or the session may not ask.`,
		Example: `  privsync licences learn --user administrator --out licences.json
  privsync licences learn | jq '.products[] | {name, n: (.privileges | length)}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			r, _, err := conn.reader(ctx, a, policy.Environment{})
			if err != nil {
				return err
			}
			version, err := a.serverVersion(ctx, r)
			if err != nil {
				return err
			}
			who := planner.Principal{Kind: mstrapi.User}
			if user == "" {
				me, err := r.SessionUser(ctx)
				if err != nil {
					return hinted(fmt.Errorf("read who is logged in: %w", err), "name a user who holds everything with --user")
				}
				who.ID, who.Name = me.ID, me.FullName
			} else {
				row, err := findPrincipal(ctx, r, mstrapi.User, user)
				if err != nil {
					return err
				}
				who.ID, who.Name, who.Login = row.ID, row.Name, row.Login
			}
			learnt, err := planner.LearnLicences(ctx, r, who)
			if err != nil {
				hint := ""
				switch {
				case errors.Is(err, planner.ErrNothingLearnt):
					hint = "ask about a user who holds everything with --user"
				case mstrapi.IsForbidden(err):
					hint = "the session's user needs the privilege " + planner.ManagerPrivilege + " and may need more to read licences: see the message of the server"
				}
				return hinted(fmt.Errorf("learn the licences: %w", err), hint)
			}
			m := learnt.Map
			m.CreatedAt = a.now()
			m.Environment = planner.MapEnvironment{URL: r.URL(), IServerVersion: version}
			a.sayLearnt(learnt)
			if out == "" {
				_, err := m.WriteTo(a.stdout)
				return err
			}
			if err := document.WriteFile(out, m); err != nil {
				return hinted(fmt.Errorf("save the map: %w", err), "name a file that can be written with --out")
			}
			a.say("licence map: %s (%s)", out, clean.Count(len(m.Products), "product"))
			return nil
		},
	}
	conn.register(cmd)
	fs := cmd.Flags()
	fs.StringVar(&user, "user", "", "ask about the user with this `LOGIN`, who should hold everything (default: the session's own)")
	fs.StringVarP(&out, "out", "o", "", "write the map to `FILE`")
	return cmd
}

// serverVersion returns the version of the Intelligence Server, "" where the server
// does not tell: some answer to nobody. The error is that of ctx, or says that the
// server does not answer at all.
func (a *app) serverVersion(ctx context.Context, r *mstrapi.Reader) (string, error) {
	status, err := r.Status(ctx)
	if err != nil && (ctx.Err() != nil || errors.Is(err, mstrapi.ErrUnreachable)) {
		return "", fmt.Errorf("read the server's versions: %w", err)
	}
	if err != nil {
		a.log.Warn("the server's versions are not known", "error", err)
	}
	return status.IServerVersion, nil
}

// sayLearnt says what a map does not know.
func (a *app) sayLearnt(l *planner.Learnt) {
	names := func(list []planner.LicenceProduct) string {
		out := make([]string, len(list))
		for i, p := range list {
			out[i] = p.Name
		}
		return strings.Join(out, ", ")
	}
	if len(l.LeftOut) > 0 {
		a.say("left out, because the server does not have them or the user holds nothing of them: %s", names(l.LeftOut))
	}
	for _, p := range l.Map.NotRead {
		a.log.Warn("what a product consists of could not be read: it is not known, and no privilege is known to cost nothing", "product", p.Name, "error", l.Failed[p.Name])
	}
	if n := len(l.Map.Unknown); n > 0 {
		list := make([]string, 0, n)
		for _, ref := range l.Map.Unknown {
			list = append(list, fmt.Sprintf("%d %s", ref.ID, ref.Name))
		}
		a.log.Warn("the user does not hold these privileges, or a product could not be read: what they cost is not known", "privileges", strings.Join(slices.Clip(list), ", "))
	}
}

// licenceFlags are the flags of commands that count licences.
type licenceFlags struct {
	file string
	scan bool
}

func (f *licenceFlags) register(cmd *cobra.Command) {
	f.registerFile(cmd)
	cmd.Flags().BoolVar(&f.scan, "licence-scan", false, "let the server count licences first: the only request of a dry run that is no reading")
}

// registerFile registers the flag of commands that let nobody count.
func (f *licenceFlags) registerFile(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "licences", "", "count licences with the map in `FILE`; beats licences: {map: …} of the policy")
}

// licenceScanTime bounds how long a licence count of the server is waited for.
const licenceScanTime = 5 * time.Minute

// readMap returns what licences are counted with; nil where nobody asks. A map that
// is not there is no error: the plan says so.
func (f *licenceFlags) readMap(a *app, pol *policy.Policy) (*planner.LicenceInput, error) {
	in := &planner.LicenceInput{}
	path := f.file
	if path == "" {
		if pol == nil || pol.Licences == nil {
			return nil, nil
		}
		at := pol.Licences.Pos
		in.Position = &at
		path = pol.Licences.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(at.File), path)
		}
	}
	data, err := await(a, func() ([]byte, error) {
		file, err := input.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return io.ReadAll(io.LimitReader(file, planner.MaxLicenceMapBytes+1))
	})
	if errors.Is(err, fs.ErrNotExist) {
		in.Missing, in.Err = path, err
		return in, nil
	}
	if err != nil {
		return nil, hinted(fmt.Errorf("licence map: %w", err), "name a file that can be read, or learn a map with privsync licences learn")
	}
	if in.Map, err = planner.ParseLicenceMap(path, data); err != nil {
		return nil, hinted(brokenMap{err}, "correct the licence map, or name another one; nothing was sent to a server")
	}
	return in, nil
}

// brokenMap says that the problems are those of a licence map, not of a policy.
type brokenMap struct{ error }

func (b brokenMap) Unwrap() error { return b.error }

// count adds the server's last licence count to in, after a new one where the flag
// asks for it.
func (f *licenceFlags) count(ctx context.Context, a *app, r *mstrapi.Reader, in *planner.LicenceInput) (*planner.LicenceInput, error) {
	if in == nil {
		if f.scan {
			return nil, hinted(errors.New("--licence-scan without a licence map"), "name a map with --licences FILE, or licences: {map: FILE} in the policy")
		}
		return nil, nil
	}
	if f.scan {
		in.Compliance, in.ScanErr = mstrapi.ScanCompliance(ctx, r, licenceScanTime)
		if in.ScanErr == nil || ctx.Err() != nil {
			return in, ctx.Err()
		}
		a.log.Warn("the server did not count its licences: its last count is taken", "error", in.ScanErr)
	}
	in.Compliance, in.ComplianceErr = r.Compliance(ctx)
	return in, ctx.Err()
}

func newLicencesShow(a *app) *cobra.Command {
	var (
		pol      policyFlags
		conn     connectionFlags
		licences licenceFlags
		deadline = span{value: defaultDeadline, zeroOK: true}
		format   = newChoice("text", "json", "csv")
	)
	cmd := &cobra.Command{
		Use:   "show -f FILE…",
		Short: "Show who consumes which product, and by which privileges",
		Long: `Read what the users hold whom the policy covers, and show who consumes a licence of
which product: by which privileges, and from where these come. Users that are disabled
consume nothing. Nothing is changed, and the server is not asked to count.

The licence map is that of the policy (licences: {map: FILE}), or --licences FILE; make
one with "privsync licences learn". CSV has a row for each user and product. JSON is
described by "privsync schema licence-use".

Exit codes: 0; 1 if somebody could not be found or read, or there is no map.`,
		Example: `  privsync licences show -f policy.yaml
  privsync licences show -f policy.yaml --format csv > seats.csv
  privsync licences show -f policy.yaml --format json | jq '.products[] | {name, users, entitled}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, done := a.within(cmd.Context(), deadline)
			defer done()
			p, err := pol.load(a)
			if err != nil {
				return err
			}
			use, err := a.licenceUse(ctx, p, &conn, &licences, pol.at(a))
			if err != nil {
				return overdue(ctx, err)
			}
			if err := a.writeAnswer(use, format.value); err != nil {
				return err
			}
			if !use.Complete {
				return hinted(errors.New("not everybody could be found or read: somebody may be missing"), "the findings marked error say what and why")
			}
			return nil
		},
	}
	pol.register(cmd)
	conn.register(cmd)
	licences.registerFile(cmd)
	addFormat(cmd, &format)
	addDeadline(cmd, &deadline)
	return cmd
}

// licenceUse reads who consumes which product of those whom the policy covers.
func (a *app) licenceUse(ctx context.Context, p *policy.Policy, conn *connectionFlags, licences *licenceFlags, at time.Time) (*planner.LicenceUse, error) {
	const learn = "learn a map with privsync licences learn, and name it with --licences FILE or licences: {map: FILE} in the policy"
	start := a.now()
	in, err := licences.readMap(a, p)
	switch {
	case err != nil:
		return nil, err
	case in == nil:
		return nil, hinted(errors.New("no licence map is named: it tells which privileges consume which product"), learn)
	case in.Map == nil:
		return nil, hinted(fmt.Errorf("licence map: %w", in.Err), learn)
	}
	r, cfg, err := conn.reader(ctx, a, p.Environment)
	if err != nil {
		return nil, err
	}
	if in, err = licences.count(ctx, a, r, in); err != nil {
		return nil, err
	}
	_, plan, _, err := a.planOf(ctx, r, p, planner.ObserveOptions{Concurrency: cfg.Concurrency, Now: at, Judging: planner.JudgeCovered, Licences: in}, planner.MakeOptions{}, planner.Overrides{})
	if err != nil {
		return nil, err
	}
	return plan.LicenceUse(start), nil
}
