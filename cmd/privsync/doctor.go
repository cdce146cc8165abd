package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/executor/pgstore"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

const (
	// clockTolerance is how far this machine's clock and the server's may differ:
	// expiry dates and report times are read from the former.
	clockTolerance = 2 * time.Minute
	// certificateMargin is how long before its end a certificate is worth a word.
	certificateMargin = 21 * 24 * time.Hour
)

func newDoctor(a *app) *cobra.Command {
	var (
		pol    policyFlags
		conn   connectionFlags
		state  stateFlags
		format = newChoice("text", "json")
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the way to the server, and say what to do about what is wrong",
		Long: `Check, in the order in which a run needs them: the settings, the URL, TLS, the
REST API, the clock, the login, the session, the catalogue, the right to read and
change privileges, the list of users, the server's own lock. Each line says what was found, and what to
do if it is not well. Nothing is changed on the server.

With -f it says as well whether the server that the policy names may get a login
without --url and PRIVSYNC_URL: only those may that PRIVSYNC_SERVERS, servers in the
user's configuration folder (~/.config/privsync) or /etc/privsync/servers lists.

With --state or PRIVSYNC_STATE it looks at the store as well: whether it is reached and
initialised, and what the role may do there.

The exit code is 1 if a check did not succeed; warnings do not change it.`,
		Example: `  privsync doctor --url https://bi.example.com/MicroStrategyLibrary --username svc_privsync
  privsync doctor -f policy.yaml --env prod`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{app: a}
			var environment policy.Environment
			var loaded *policy.Policy // nil: none was given
			if len(pol.files) > 0 {
				p, err := pol.load(a)
				if err != nil {
					return err
				}
				environment, loaded = p.Environment, p
			}
			cfg, err := conn.config(a, environment)
			d.settings(cfg, conn.named, err)
			d.allowed(environment)
			d.examine(cmd.Context(), cfg, loaded)
			d.state(cmd.Context(), &state)
			if err := d.show(format.value); err != nil {
				return err
			}
			if cmd.Context().Err() != nil {
				return errInterrupted
			}
			if d.failed > 0 {
				return hinted(errors.New(clean.Count(d.failed, "check did not succeed", "checks did not succeed")), "follow the advice above, from the top")
			}
			return nil
		},
	}
	pol.register(cmd)
	conn.register(cmd)
	state.registerStore(cmd)
	addFormat(cmd, &format)
	return cmd
}

// check is one line of the doctor's findings.
type check struct {
	Name   string `json:"check"`
	Status string `json:"status"` // ok, warning, failed or skipped
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

// doctor collects checks; after a failed one those that need it are skipped.
type doctor struct {
	*app
	checks []check
	failed int
}

func (d *doctor) ok(name, format string, args ...any) {
	d.checks = append(d.checks, check{Name: name, Status: "ok", Found: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(name, advice, format string, args ...any) {
	d.checks = append(d.checks, check{Name: name, Status: "warning", Found: fmt.Sprintf(format, args...), Advice: advice})
}

func (d *doctor) fail(name string, err error) {
	otherwise := `correct that setting; "privsync doctor --help" lists them`
	if errors.As(err, new(*mstrapi.Error)) {
		otherwise = "look into the server's log, or run again with --log-level debug to see each request"
	}
	d.checks = append(d.checks, check{Name: name, Status: "failed", Found: err.Error(), Advice: cmp.Or(advice(err), otherwise)})
	d.failed++
}

func (d *doctor) skip(names ...string) {
	for _, name := range names {
		d.checks = append(d.checks, check{Name: name, Status: "skipped", Found: "needs what did not succeed above"})
	}
}

func (d *doctor) settings(cfg mstrapi.Config, named string, err error) {
	if err != nil {
		d.fail("settings", err)
		return
	}
	who := cfg.Username
	if cfg.LoginMode == mstrapi.APIToken {
		who = "an API token"
	}
	rate := fmt.Sprintf("%g requests/s", cfg.Rate)
	if cfg.Rate == 0 {
		rate = "no limit of the rate"
	}
	d.ok("settings", "%s (named by %s) as %s (login mode %s), %d at once, %s", withoutUserInfo(cfg.URL), named, who, loginModeName(cfg.LoginMode), cfg.Concurrency, rate)
}

// allowed says whether the server that the policy names gets a login when nobody
// else names one, and how to change that.
func (d *doctor) allowed(environment policy.Environment) {
	const name = "allowed servers"
	if environment.URL == "" {
		return
	}
	url, err := mstrapi.BaseURL(environment.URL)
	if err != nil {
		d.fail(name, fmt.Errorf("%s: %w", environment.URLPos, err))
		return
	}
	list := d.allowList()
	by, err := list.allows(url)
	switch {
	case err != nil:
		d.fail(name, err)
	case by == "":
		d.warn(name, list.ways(url), "the policy names %s, which no list allows: a login goes there only when --url or %s names it too", url, urlVariable)
	default:
		d.ok(name, "the policy may name %s: %s allows it", url, by)
	}
}

// examine does all checks that need the server.
func (d *doctor) examine(ctx context.Context, cfg mstrapi.Config, pol *policy.Policy) {
	later := []string{"login", "session", "who am I", "catalogue", "right to work", "users", "server lock"}
	if cfg.URL == "" {
		d.skip(append([]string{"way to the server", "REST API"}, later...)...)
		return
	}
	withLogin := d.failed == 0
	if !withLogin {
		// Without a user or a password the way can still be looked at.
		cfg.LoginMode, cfg.Username = mstrapi.Standard, "nobody"
	}
	if !d.way(ctx, cfg) {
		d.skip(append([]string{"REST API"}, later...)...)
		return
	}
	status, err := mstrapi.ServerStatus(ctx, cfg)
	switch {
	case mstrapi.IsStatusRefused(err):
		d.warn("REST API", "nothing, if the login below works; comments for the change journal are left out", "answers, and tells nobody its version")
	case err != nil:
		d.fail("REST API", err)
		d.skip(later...)
		return
	default:
		d.ok("REST API", "Intelligence Server %s, web %s", known(status.IServerVersion), known(status.WebVersion))
	}
	d.comments(status.IServerVersion)
	if !withLogin {
		d.skip(later...)
		return
	}
	r, err := d.openReader(ctx, cfg)
	if err != nil {
		d.fail("login", err)
		d.skip(later[1:]...)
		return
	}
	defer d.logout(ctx, r)
	d.ok("login", "accepted")
	d.session(ctx, r)
	d.rights(ctx, r, pol)
	d.lock(ctx, r, pol)
	if pol != nil {
		d.access(ctx, r, pol, cfg.Concurrency)
	}
}

// lock says whether the server has a lock of its own, and who has it.
func (d *doctor) lock(ctx context.Context, r *mstrapi.Reader, pol *policy.Policy) {
	const name = "server lock"
	wanted := pol != nil && pol.Safety != nil && pol.Safety.ServerLock
	held, err := readServerLock(ctx, r)
	switch {
	case err != nil && wanted:
		d.fail(name, hinted(err, "the policy says safety.serverLock: true, and apply will refuse: take that out, and see to it otherwise that one machine works on this server at a time"))
	case executor.LockUnknown(err):
		d.ok(name, "this version of the server does not know one: --server-lock cannot be used")
	case err != nil:
		d.warn(name, "nothing, without --server-lock", "%v", err)
	case held.Held():
		d.warn(name, `an apply with --server-lock waits for it; "privsync unlock" says more`, "%s", executor.DescribeLock(held))
	default:
		d.ok(name, "the server knows it, and nobody has it")
	}
}

// maxAccess bounds for how many of the policy's principals the access is looked
// at.
const maxAccess = 20

// access looks at the session's own access (acg) to the principals that the
// policy covers: who may not change an object cannot change its privileges,
// whatever the account holds.
func (d *doctor) access(ctx context.Context, r *mstrapi.Reader, pol *policy.Policy, concurrency int) {
	const name = "access to the policy's principals"
	state, err := d.observe(ctx, r, pol, planner.ObserveOptions{Concurrency: concurrency, Now: d.now()})
	if err != nil {
		d.fail(name, err)
		return
	}
	var refused []string
	looked, told := 0, 0
	for o := range state.Principals() {
		if looked == maxAccess {
			break
		}
		looked++
		acg, err := r.Access(ctx, o.Principal.Kind, o.Principal.ID)
		switch {
		case err != nil:
			d.fail(name, err)
			return
		case acg < 0:
			continue
		}
		told++
		if acg&mstrapi.AccessWrite == 0 {
			refused = append(refused, fmt.Sprintf("%s %s (acg %d)", o.Principal.Kind, clean.Quote(o.Principal.Name), acg))
		}
	}
	switch {
	case len(refused) > 0:
		d.fail(name, hinted(fmt.Errorf("the account may not change %s", strings.Join(refused, ", ")),
			"have an administrator give the account write access to these objects (their access control list), or take them out of the policy"))
	case told == 0:
		d.ok(name, "the server does not tell for the %d looked at", looked)
	default:
		d.ok(name, "the %d looked at can be changed", told)
	}
}

func known(version string) string {
	if version == "" {
		return "of a version that it does not tell"
	}
	return version
}

// way checks the network, TLS and the clock with one plain request of its own:
// the client hides what stands below the API.
func (d *doctor) way(ctx context.Context, cfg mstrapi.Config) bool {
	const name = "way to the server"
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		d.fail(name, hinted(errors.New("the URL is not one of a web server"), "write it like https://bi.example.com/MicroStrategyLibrary"))
		return false
	}
	proxy, err := mstrapi.ProxyFor(cfg)
	if err != nil {
		d.fail(name, err)
		return false
	}
	before := d.now()
	way, err := mstrapi.LookAtWay(ctx, cfg)
	if err != nil {
		d.fail(name, err)
		return false
	}
	through := ""
	if proxy.Address != "" {
		through = fmt.Sprintf(" through the proxy %s (%s)", proxy.Address, proxy.Variable)
	}
	d.ok(name, "%s answers in %s%s", way.Host, way.Took.Round(time.Millisecond), through)
	d.tls(way.TLS)
	d.clock(way.Date, before.Add(way.Took/2))
	return true
}

func (d *doctor) tls(state *tls.ConnectionState) {
	const name = "TLS"
	if state == nil || len(state.PeerCertificates) == 0 {
		d.warn(name, "use https outside of tests: the password travels readably", "none: plain http")
		return
	}
	c := state.PeerCertificates[0]
	left := c.NotAfter.Sub(d.now())
	if left < certificateMargin {
		d.warn(name, "have the certificate renewed", "%s, the certificate ends on %s", tls.VersionName(state.Version), c.NotAfter.UTC().Format(time.DateOnly))
		return
	}
	d.ok(name, "%s, certificate of %s until %s", tls.VersionName(state.Version), c.Issuer.CommonName, c.NotAfter.UTC().Format(time.DateOnly))
}

func (d *doctor) clock(date string, here time.Time) {
	const name = "clock"
	there, err := http.ParseTime(date)
	if err != nil {
		d.warn(name, "", "the server does not tell its time")
		return
	}
	// The header has whole seconds.
	off := here.Sub(there).Round(time.Second)
	if off.Abs() > clockTolerance {
		d.warn(name, "set this machine's clock (NTP): expiry dates are judged by it", "%s away from the server's", off.Abs())
		return
	}
	d.ok(name, "agrees with the server's within %s", clockTolerance)
}

func (d *doctor) comments(version string) {
	users, groups := mstrapi.SupportsComment(mstrapi.User, version), mstrapi.SupportsComment(mstrapi.Group, version)
	switch {
	case users && groups:
		d.ok("change journal", "takes comments")
	case users:
		d.ok("change journal", "takes comments for users, not for groups")
	default:
		d.ok("change journal", "this version takes no comments; none are sent")
	}
}

func (d *doctor) session(ctx context.Context, r *mstrapi.Reader) {
	if info, err := r.SessionInfo(ctx); err != nil {
		d.fail("session", err)
	} else if info.TimeoutSeconds > 0 {
		d.ok("session", "ends after %s without a request", time.Duration(info.TimeoutSeconds)*time.Second)
	} else {
		d.ok("session", "open")
	}
	if who, err := r.SessionUser(ctx); err != nil {
		d.fail("who am I", err)
	} else {
		d.ok("who am I", "%s (%s)", who.FullName, who.ID)
	}
}

// rights checks that the account can do privsync's work.
func (d *doctor) rights(ctx context.Context, r *mstrapi.Reader, pol *policy.Policy) {
	var own []policy.Ref
	if pol != nil && pol.Safety != nil {
		own = pol.Safety.OwnPrivileges
	}
	list, err := r.Catalogue(ctx)
	if err != nil {
		d.fail("catalogue", err)
		d.skip("right to work", "users")
		return
	}
	server := 0
	for _, p := range list {
		if p.Level() == mstrapi.LevelServer {
			server++
		}
	}
	if odd := r.OddPrivileges(); len(odd) > 0 {
		d.warn("catalogue", "an entry without a name can be named by its number, others not at all; have the vendor's support look at the server's metadata",
			"%d privileges, %d of them server-level; %d of its entries odd, the first: %s", len(list), server, len(odd), odd[0])
	} else {
		d.ok("catalogue", "%d privileges, %d of them server-level", len(list), server)
	}
	for _, need := range planner.WorkNeeds(list, own) {
		d.right(ctx, r, need)
	}
	page, err := r.List(mstrapi.User, mstrapi.Query{}).Page(ctx, 0, 1)
	switch {
	case err != nil:
		d.fail("users", err)
	case page.Total < 0:
		d.ok("users", "can be listed")
	default:
		d.ok("users", "%s", clean.Count(page.Total, "user"))
	}
}

// right checks one privilege that the work needs: the session must have one of
// those that it may be.
func (d *doctor) right(ctx context.Context, r *mstrapi.Reader, need planner.WorkNeed) {
	name := "right to " + need.For
	advice := fmt.Sprintf("have an administrator grant %s to this account", clean.Quote(need.Name))
	if len(need.Candidates) == 0 {
		err := fmt.Errorf("the catalogue has no %s", clean.Quote(need.Name))
		if need.Required {
			d.fail(name, hinted(err, "the guard of the session's own privileges cannot see them: name them with safety: {ownPrivileges: [NUMBER]} in the policy, and give it with -f"))
		} else {
			d.warn(name, "make a plan and apply it somewhere harmless to see whether it works", "%v", err)
		}
		return
	}
	var lacking error
	for _, p := range need.Candidates {
		own, err := r.SessionPrivilege(ctx, p.ID)
		switch {
		case err == nil && own.UserLevelAllowed:
			d.ok(name, "%d %s is held", p.ID, clean.Quote(p.Name))
			return
		case err == nil:
			lacking = hinted(fmt.Errorf("the account lacks %d %s", p.ID, clean.Quote(p.Name)), advice)
		case mstrapi.IsForbidden(err):
			lacking = hinted(err, advice)
		case mstrapi.IsRouteMissing(err) || mstrapi.IsNotFound(err):
			d.warn(name, "make a plan to see whether it works", "the server does not tell whether the account has %d %s", p.ID, clean.Quote(p.Name))
			return
		default:
			lacking = hinted(err, hintFor(err))
		}
	}
	d.fail(name, lacking)
}

func (d *doctor) show(format string) error {
	if format == "json" {
		return writeJSON(d.stdout, struct {
			Format  string  `json:"format"`
			Healthy bool    `json:"healthy"`
			Checks  []check `json:"checks"`
		}{doctorFormat, d.failed == 0, d.checks})
	}
	var b strings.Builder
	color := d.textOptions(d.stdout).Color
	for _, c := range d.checks {
		mark := map[string]string{"ok": "ok  ", "warning": "WARN", "failed": "FAIL", "skipped": "-   "}[c.Status]
		if color {
			mark = map[string]string{"ok": "\x1b[32m", "warning": "\x1b[33m", "failed": "\x1b[1;31m", "skipped": "\x1b[2m"}[c.Status] + mark + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s  %-17s %s\n", mark, c.Name, render.Clean(strings.ReplaceAll(c.Found, "\n", "; ")))
		if c.Advice != "" {
			fmt.Fprintf(&b, "                        -> %s\n", render.Clean(c.Advice))
		}
	}
	_, err := io.WriteString(d.stdout, b.String())
	return err
}

// state looks at the store, if one is named.
func (d *doctor) state(ctx context.Context, state *stateFlags) {
	if !state.shared() {
		return
	}
	cfg, err := state.config(d.app)
	var store *pgstore.Store
	if err == nil {
		store, err = pgstore.Open(ctx, cfg, pgstore.Writing)
	}
	if err != nil {
		d.fail("store", storeError(err))
		return
	}
	defer store.Close()
	loose, err := store.Loose(ctx)
	switch {
	case err != nil:
		d.fail("store", storeError(err))
	case len(loose) > 0:
		d.warn("store", fmt.Sprintf("let runs use a role of their own: privsync state init --state URL --writer ROLE, and no owner or superuser (%s)", strings.Join(loose, ", ")),
			"%s, schema version %d; the role could change or remove reports and journals, so they prove nothing against it", store, pgstore.Version)
	default:
		d.ok("store", "%s, schema version %d; the role may add rows, and change or remove none", store, pgstore.Version)
	}
}
