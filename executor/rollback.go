package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/panics"
	"privsync/planner"
)

// RollbackOptions are the settings of [Rollback]; the zero value is ready to use.
type RollbackOptions struct {
	Tool        planner.Tool
	Actor       planner.Actor                       // zero: the report's
	Now         func() time.Time                    // nil: time.Now
	TTL         time.Duration                       // how long the plan may be applied; zero: 24 hours
	Concurrency int                                 // principals read at once; below 1: 8
	Progress    func(phase string, done, total int) // "observe", one call at a time; nil: nobody is told
	Logger      *slog.Logger                        // nil: none

	// Impact counts the users below a group, at any depth, for the plan's impact.
	// Nil: the plan says 0.
	Impact func(ctx context.Context, group mstrapi.ObjectID) (int, error)
}

const defaultTTL = 24 * time.Hour

// Rollback reads the principals that report says were changed and returns the
// plan that undoes it: what was granted is revoked, what was revoked is granted.
// Every write that the report announces is compared with what is there now,
// whatever its outcome: what was not there before the run and is there now is
// undone, with a finding [planner.CodeChangedSince] where the run did not see that it did
// it. What others have undone since is passed over with such a finding, and what
// came or went beside the run's own writes is named. A principal that left the
// server is named as well; one that cannot be read makes the plan incomplete.
// The plan runs no metadata commands, has no guard limits, and is
// sealed.
//
// Its order is careful: a revoke on a group waits for every grant of the same
// privilege in the plan, a revoke on a user for every such grant on a group.
//
// The error says that there is nothing to undo in such a report (an audit, a
// refused run), or that ctx was done.
func Rollback(ctx context.Context, s PrincipalServer, report *Report, o RollbackOptions) (*planner.Plan, error) {
	if report.Run.Command != "apply" {
		return nil, fmt.Errorf("rollback: the report is one of %s: only an apply can be undone", clean.Quote(clip(report.Run.Command, 40)))
	}
	if report.Run.Outcome == RunRefused {
		return nil, errors.New("rollback: that run was refused and changed nothing")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	if o.Concurrency < 1 {
		o.Concurrency = defaultConcurrency
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Actor == (planner.Actor{}) {
		o.Actor = report.Actor
	}

	names := make(map[mstrapi.PrivilegeID]string, len(report.Privileges))
	for _, p := range report.Privileges {
		names[p.ID] = p.Name
	}
	var undos []*undo
	for i := range report.Principals {
		res := &report.Principals[i]
		if len(res.Granted)+len(res.Revoked)+len(res.Came)+len(res.Went) > 0 || res.Attempts > 0 || res.Outcome == Unverified {
			undos = append(undos, &undo{res: res, names: names})
		}
	}
	var g errgroup.Group
	g.SetLimit(o.Concurrency)
	progress := newCounter(func(n int) { o.Progress("observe", n, len(undos)) })
	for _, u := range undos {
		panics.Go(&g, func() error {
			u.work(ctx, s, report.Scope.Level, o)
			progress.add()
			return nil
		})
	}
	panics.Again(g.Wait()) // no worker returns another error
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("rollback: %w", err)
	}

	now := stamp(o.Now())
	plan := &planner.Plan{
		Format: planner.PlanFormat, Tool: o.Tool, CreatedAt: now, ExpiresAt: now.Add(o.TTL),
		Environment: report.Environment, Actor: o.Actor, Policy: report.Policy, Scope: report.Scope,
		Safety:   planner.Safety{Protected: []planner.Principal{}, ActorLoses: []planner.PrivilegeRef{}},
		Complete: true, Changes: []planner.Change{}, Findings: []planner.Finding{}, Commands: []string{},
	}
	plan.Policy.Files = orEmpty(plan.Policy.Files)
	for _, u := range undos {
		plan.Findings = append(plan.Findings, u.findings...)
		if u.change.Principal.ID == "" && u.err == nil {
			continue // gone
		}
		plan.Summary.Principals++
		switch {
		case u.err != nil:
			plan.Complete = false
			plan.Summary.Unknown++
		case len(u.change.Grant)+len(u.change.Revoke) == 0:
			plan.Summary.InSync++
		default:
			plan.Summary.Changed++
			plan.Summary.Grants += len(u.change.Grant)
			plan.Summary.Revokes += len(u.change.Revoke)
			plan.Changes = append(plan.Changes, u.change)
		}
		plan.Safety.ObservedDirect += u.change.Observed.Direct.Len()
	}
	slices.SortStableFunc(plan.Changes, func(a, b planner.Change) int { return a.Principal.Compare(&b.Principal) })
	slices.SortStableFunc(plan.Findings, func(a, b planner.Finding) int { return a.Principal.Compare(b.Principal) })
	for _, f := range plan.Findings {
		switch f.Severity {
		case planner.SeverityError:
			plan.Summary.Findings.Error++
		case planner.SeverityWarning:
			plan.Summary.Findings.Warning++
		case planner.SeverityInfo:
			plan.Summary.Findings.Info++
		}
	}
	relyOnGrants(plan, undos)
	if err := plan.Seal(); err != nil {
		return nil, fmt.Errorf("rollback: %w", err)
	}
	return plan, nil
}

// undo is the work of one principal.
type undo struct {
	res      *Result
	names    map[mstrapi.PrivilegeID]string // as the report has them
	change   planner.Change
	findings []planner.Finding
	err      error
}

func (u *undo) work(ctx context.Context, s PrincipalServer, level mstrapi.Level, o RollbackOptions) {
	p := u.res.Principal
	if u.err = ctx.Err(); u.err != nil {
		return
	}
	now := o.Now()
	seen, err := planner.ReadPrincipal(ctx, s, p.Kind, p.ID, level)
	if err != nil && isGone(ctx, s, o.Actor, p, err) {
		u.findings = append(u.findings, goneFinding(p, 0))
		return
	}
	if err != nil {
		u.err = err
		u.find(planner.CodeReadFailed, planner.SeverityError, nil, "could not be read, so nothing is undone: "+clip(err.Error(), maxErrorText))
		return
	}
	u.change = planner.Change{
		Principal: p, Grant: []planner.PlannedPrivilege{}, Revoke: []planner.PlannedPrivilege{}, ObservedAt: now,
		Observed: planner.ObservedSets{Direct: seen.Direct, Inherited: seen.Inherited},
	}
	granted, revoked := planner.SetOf(u.res.Granted...), planner.SetOf(u.res.Revoked...)
	for _, g := range u.res.Grant {
		switch {
		case !granted.Has(g.ID):
			if u.mayBeOurs(g.PrivilegeRef) && !u.res.Before.Direct.Has(g.ID) && seen.Direct.Has(g.ID) {
				u.change.Revoke = append(u.change.Revoke, planner.PlannedPrivilege{PrivilegeRef: g.PrivilegeRef, Reason: planner.ReasonRollback})
				u.find(planner.CodeChangedSince, planner.SeverityWarning, &g.PrivilegeRef, "is granted now and was not before that run, which sent the grant and never saw it: it is undone")
			}
		case seen.Direct.Has(g.ID):
			u.change.Revoke = append(u.change.Revoke, planner.PlannedPrivilege{PrivilegeRef: g.PrivilegeRef, Reason: planner.ReasonRollback})
		default:
			u.find(planner.CodeChangedSince, planner.SeverityWarning, &g.PrivilegeRef, "was granted by that run and has been revoked since")
		}
	}
	for _, v := range u.res.Revoke {
		switch {
		case !revoked.Has(v.ID):
			if u.mayBeOurs(v.PrivilegeRef) && u.res.Before.Direct.Has(v.ID) && !seen.Direct.Has(v.ID) {
				u.change.Grant = append(u.change.Grant, planner.PlannedPrivilege{PrivilegeRef: v.PrivilegeRef, Reason: planner.ReasonRollback})
				u.find(planner.CodeChangedSince, planner.SeverityWarning, &v.PrivilegeRef, "is revoked now and was not before that run, which sent the revoke and never saw it: it is undone")
			}
		case !seen.Direct.Has(v.ID):
			u.change.Grant = append(u.change.Grant, planner.PlannedPrivilege{PrivilegeRef: v.PrivilegeRef, Reason: planner.ReasonRollback})
		default:
			u.find(planner.CodeChangedSince, planner.SeverityWarning, &v.PrivilegeRef, "was revoked by that run and has been granted since")
		}
	}
	u.nameOthers(seen.Direct)
	slices.SortFunc(u.change.Grant, byNumber)
	slices.SortFunc(u.change.Revoke, byNumber)
	if p.Kind == mstrapi.Group && o.Impact != nil && len(u.change.Grant)+len(u.change.Revoke) > 0 {
		n, err := o.Impact(ctx, p.ID)
		if err != nil {
			// The number is for the reader; the plan is right without it.
			o.Logger.Warn("impact of a group is not known", "group", string(p.ID), "error", err)
		}
		u.change.Impact.Members = n
	}
}

// mayBeOurs reports whether the run may have written p although it did not see
// it: a write was sent, and p was not held back from it.
func (u *undo) mayBeOurs(p planner.PrivilegeRef) bool {
	return u.res.Before != nil && (u.res.Attempts > 0 || u.res.Outcome == Unverified) && !slices.Contains(u.res.HeldBack, p)
}

// nameOthers tells of what came and went beside the run's own writes, as far as
// it is still so.
func (u *undo) nameOthers(direct planner.Set) {
	for _, id := range u.res.Came {
		if direct.Has(id) {
			u.find(planner.CodeChangedSince, planner.SeverityWarning, u.ref(id), "came while that run wrote, without being asked for, and is still granted: it is left alone")
		}
	}
	for _, id := range u.res.Went {
		if !direct.Has(id) {
			u.find(planner.CodeChangedSince, planner.SeverityWarning, u.ref(id), "went while that run wrote, without being asked for, and is still revoked: it is left alone")
		}
	}
}

// ref names a privilege as the report does; by its number if it has no name there.
func (u *undo) ref(id mstrapi.PrivilegeID) *planner.PrivilegeRef {
	return &planner.PrivilegeRef{ID: id, Name: cmp.Or(u.names[id], id.String())}
}

func (u *undo) find(code planner.Code, severity planner.Severity, privilege *planner.PrivilegeRef, message string) {
	p := u.res.Principal
	what := fmt.Sprintf("%s %s", p.Kind, clean.Quote(p.Name))
	if privilege != nil {
		number := privilege.ID.String()
		if privilege.Name != "" && privilege.Name != number {
			number += " (" + privilege.Name + ")"
		}
		what = fmt.Sprintf("privilege %s of %s", number, what)
	}
	u.findings = append(u.findings, planner.Finding{
		Code: code, Severity: severity, Principal: &p, Privilege: privilege, Message: what + " " + message,
	})
}

func byNumber(a, b planner.PlannedPrivilege) int { return cmp.Compare(a.ID, b.ID) }

// relyOnGrants sets what every revoke of plan relies on.
func relyOnGrants(plan *planner.Plan, undos []*undo) {
	before := make(map[mstrapi.ObjectID]*Sets, len(undos))
	for _, u := range undos {
		before[u.res.Principal.ID] = u.res.Before
	}
	groups, all := make(map[mstrapi.PrivilegeID][]mstrapi.ObjectID), make(map[mstrapi.PrivilegeID][]mstrapi.ObjectID)
	for _, c := range plan.Changes {
		for _, p := range c.Grant {
			all[p.ID] = append(all[p.ID], c.Principal.ID)
			if c.Principal.Kind == mstrapi.Group {
				groups[p.ID] = append(groups[p.ID], c.Principal.ID)
			}
		}
	}
	for _, lists := range []map[mstrapi.PrivilegeID][]mstrapi.ObjectID{groups, all} {
		for _, ids := range lists {
			slices.Sort(ids)
		}
	}
	for i := range plan.Changes {
		c := &plan.Changes[i]
		for k := range c.Revoke {
			switch was := before[c.Principal.ID]; {
			case c.Principal.Kind == mstrapi.Group:
				c.Revoke[k].ReliesOn = all[c.Revoke[k].ID]
			case was == nil || was.Inherited.Has(c.Revoke[k].ID):
				// It goes back to holding it through a group.
				c.Revoke[k].ReliesOn = groups[c.Revoke[k].ID]
			}
		}
	}
}
