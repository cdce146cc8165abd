package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// RollbackOptions are the settings of [Rollback]; the zero value is ready to use.
type RollbackOptions struct {
	Tool        planner.Tool
	Actor       planner.Actor                       // zero: the report's
	Now         func() time.Time                    // nil: time.Now
	TTL         time.Duration                       // how long the plan may be applied; zero: [planner.DefaultTTL]
	Concurrency int                                 // principals read at once; below 1: [mstrapi.DefaultConcurrency]
	Progress    func(phase string, done, total int) // "observe", one call at a time; nil: nobody is told
	Logger      *slog.Logger                        // nil: none

	// Impact counts the users below a group, at any depth, for the plan's impact.
	// Nil: the plan says 0.
	Impact func(ctx context.Context, group mstrapi.ObjectID) (int, error)
}

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
		return nil, fmt.Errorf("rollback: the report is one of %s: only an apply can be undone", clean.Quote(clean.Clip(report.Run.Command, 40)))
	}
	if report.Run.Outcome == RunRefused {
		return nil, errors.New("rollback: that run was refused and changed nothing")
	}
	d := Options{Now: o.Now, Concurrency: o.Concurrency, Progress: o.Progress, Logger: o.Logger}.withDefaults(nil)
	o.Now, o.Concurrency, o.Progress, o.Logger = d.Now, d.Concurrency, d.Progress, d.Logger
	o.TTL, o.Actor = cmp.Or(o.TTL, planner.DefaultTTL), cmp.Or(o.Actor, report.Actor)

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
	progress := newCounter(func(n int) { o.Progress("observe", n, len(undos)) })
	concurrently(o.Concurrency, slices.Values(undos), func(u *undo) {
		u.work(ctx, s, report.Scope.Level, o)
		progress.add()
	})
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
	plan.Summary.Findings = planner.CountFindings(plan.Findings)
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
		u.find(planner.CodeReadFailed, planner.SeverityError, nil, "could not be read, so nothing is undone: "+clean.Clip(err.Error(), maxErrorText))
		return
	}
	u.change = planner.Change{
		Principal: p, Grant: []planner.PlannedPrivilege{}, Revoke: []planner.PlannedPrivilege{}, ObservedAt: now,
		Observed: planner.ObservedSets{Direct: seen.Direct, Inherited: seen.Inherited},
	}
	for _, part := range []struct {
		planned     []planner.PlannedPrivilege
		done        []mstrapi.PrivilegeID
		held        bool // what the run wanted of it
		undo        *[]planner.PlannedPrivilege
		send, undid string
	}{{u.res.Grant, u.res.Granted, true, &u.change.Revoke, "grant", "revoked"}, {u.res.Revoke, u.res.Revoked, false, &u.change.Grant, "revoke", "granted"}} {
		did := strings.TrimSuffix(part.send, "e") + "ed"
		for _, p := range part.planned {
			done, so := slices.Contains(part.done, p.ID), seen.Direct.Has(p.ID) == part.held
			switch {
			case done && !so:
				u.since(&p.PrivilegeRef, "was "+did+" by that run and has been "+part.undid+" since")
				continue
			case done:
			case so && u.mayBeOurs(p.PrivilegeRef) && u.res.Before.Direct.Has(p.ID) != part.held:
				u.since(&p.PrivilegeRef, "is "+did+" now and was not before that run, which sent the "+part.send+" and never saw it: it is undone")
			default:
				continue
			}
			*part.undo = append(*part.undo, planner.PlannedPrivilege{PrivilegeRef: p.PrivilegeRef, Reason: planner.ReasonRollback})
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
			u.since(u.ref(id), "came while that run wrote, without being asked for, and is still granted: it is left alone")
		}
	}
	for _, id := range u.res.Went {
		if !direct.Has(id) {
			u.since(u.ref(id), "went while that run wrote, without being asked for, and is still revoked: it is left alone")
		}
	}
}

// since tells what of a privilege is not as the run left it.
func (u *undo) since(p *planner.PrivilegeRef, message string) {
	u.find(planner.CodeChangedSince, planner.SeverityWarning, p, message)
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
