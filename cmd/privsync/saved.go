package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// checkNames puts the server's names into a saved plan. A privilege whose number
// and name do not belong together refuses it; a principal that the server names
// otherwise is left alone.
func (r *applyRun) checkNames(ctx context.Context) error {
	list, err := r.writer.Catalogue(ctx)
	if err != nil {
		return fmt.Errorf("catalogue of privileges: %w", err)
	}
	if err := planner.CheckPrivileges(list, r.plan.Privileges()); err != nil {
		return refused(err, newPlanHint)
	}
	slices.SortFunc(list, func(a, b mstrapi.Privilege) int { return cmp.Compare(a.ID, b.ID) })
	r.named = list
	ids, err := planner.Identify(ctx, r.writer.Reader, r.actor.ID, r.plan.Principals(), r.f.conn.concurrency.value)
	if err != nil {
		return err
	}
	claimed := r.plan
	r.plan, r.findings = claimed.Named(ids)
	r.plan.Actor = r.actor
	r.misnamed = make(map[mstrapi.ObjectID]*executor.Error)
	for i := range claimed.Changes {
		was := claimed.Changes[i].Principal
		switch id := ids[was.ID]; {
		case id.Mismatch:
			r.misnamed[was.ID] = &executor.Error{Code: executor.CodeMisnamed, Message: id.Finding(was).Message}
		case id.Err != nil && !id.Gone:
			e := errorOf(id.Err)
			e.Message = "its name could not be compared with the server's, so nothing was done: " + e.Message
			r.misnamed[was.ID] = e
		}
	}
	return nil
}

// unjudged lets a saved plan be judged by what it says of its own guards and
// protected principals, and takes out of what becomes evidence whatever else only
// its text says.
func (r *applyRun) unjudged(ctx context.Context) error {
	r.say("judged by what the saved plan itself says of guards and protected principals; give the policy with -f to judge it by that")
	status, err := r.writer.Status(ctx)
	if err != nil {
		return fmt.Errorf("versions of the server: %w", err)
	}
	r.shown, r.plan = r.plan, r.plan.WithoutClaims(r.file)
	r.plan.Environment.IServerVersion, r.plan.Environment.WebVersion = status.IServerVersion, status.WebVersion
	r.findings = append(r.findings, planner.Finding{
		Code: planner.CodePolicyUnchecked, Severity: planner.SeverityInfo,
		Message: "no policy was at hand: name, digest, files and limits of the policy are those that the saved plan says of itself",
	})
	return nil
}

// recount puts the server's last licence count, after a new one where the flag asks
// for it, in the place of the one that the saved plan tells of.
func (r *applyRun) recount(ctx context.Context) error {
	f := &r.f.licences
	switch {
	case f.file != "":
		return hinted(errors.New("--licences without a policy: a saved plan is counted with the map that it was made with"), "give the policy with -f, or leave --licences out")
	case r.plan.Licences == nil && f.scan:
		return hinted(errors.New("--licence-scan: the saved plan was made without a licence map"), "give the policy with -f, and a map, or leave --licence-scan out")
	case r.plan.Licences == nil:
		return nil
	case len(r.plan.Safety.Licences) == 0 && !f.scan:
		return nil // no guard asks
	}
	if earlier, err := r.store.Earlier(ctx, r.dest, r.plan, sameServer(ctx, r.server)); err == nil && earlier.Last.ID != "" && !f.scan {
		return nil // the server's count may hold what the plan's difference does
	}
	in, err := f.count(ctx, r.app, r.writer.Reader, &planner.LicenceInput{})
	if err != nil {
		return err
	}
	r.plan.Licences = r.plan.Licences.Recounted(in.Compliance)
	for _, doubt := range []error{in.ScanErr, in.ComplianceErr} {
		if doubt != nil {
			r.findings = append(r.findings, planner.Finding{
				Code: planner.CodeLicenceUncertain, Severity: planner.SeverityWarning,
				Message: fmt.Sprintf("the server's licence count, of all products of the plan: %v", doubt),
			})
		}
	}
	return nil
}

// judgedBy returns the saved plan as the guards must judge it when pol is in force,
// and puts what pol says now in the place of what the plan says: its limits,
// protected principals, rules and findings, and what is wanted of everybody. What
// pol would not plan any more is refused.
func (r *applyRun) judgedBy(ctx context.Context, pol *policy.Policy) (*planner.Plan, error) {
	now := r.f.policy.at(r.app)
	r.tellPolicy(pol, planner.RefOf(pol, now))
	in, err := r.f.licences.readMap(r.app, pol)
	if err == nil {
		in, err = r.f.licences.count(ctx, r.app, r.writer.Reader, in)
	}
	if err != nil {
		return nil, err
	}
	state, err := r.observe(ctx, r.writer.Reader, pol, planner.ObserveOptions{Concurrency: r.f.conn.concurrency.value, Now: now, Licences: in})
	if err != nil {
		return nil, err
	}
	fresh := planner.Make(pol, state, planner.MakeOptions{Tool: toolRef()})
	r.plan = r.plan.JudgedBy(fresh)
	judged := *r.plan
	judged.Summary.Principals = fresh.Summary.Principals
	if r.refusal() != nil {
		return &judged, nil // and the report says why
	}
	return &judged, r.stillPlanned(ctx, fresh)
}

// tellPolicy says by which policy the plan is judged, and what of it changed since.
func (r *applyRun) tellPolicy(pol *policy.Policy, now planner.PolicyRef) {
	was := r.plan.Policy
	var changed []string
	for _, f := range pol.Files {
		if !slices.ContainsFunc(was.Files, func(old policy.File) bool { return old.Digest == f.Digest }) {
			changed = append(changed, clean.Quote(f.Path))
		}
	}
	for _, old := range was.Files {
		if !slices.ContainsFunc(pol.Files, func(f policy.File) bool { return f.Digest == old.Digest || f.Path == old.Path }) {
			changed = append(changed, clean.Quote(old.Path)+" (gone)")
		}
	}
	if now.Environment != was.Environment {
		changed = append(changed, fmt.Sprintf("its environment is %s and was %s", clean.Quote(now.Environment), clean.Quote(was.Environment)))
	}
	r.say("judged by the policy %s at hand: its guards, protected principals and rules", pol.Name)
	if len(changed) == 0 {
		return
	}
	what := strings.Join(changed, ", ")
	r.log.Warn("the policy changed since the plan was made; the policy at hand is the judge", "changed", what)
	r.findings = append(r.findings, planner.Finding{
		Code: planner.CodePolicyChanged, Severity: planner.SeverityWarning,
		Message: "the policy changed since the plan was made, and the policy at hand judged the plan: " + what,
	})
}

// unplanned refuses what the policy at hand does not plan.
func unplanned(format string, args ...any) error {
	return refused(fmt.Errorf(format, args...), "make a new plan; to undo a run against the policy, apply the plan without -f")
}

// stillPlanned returns an error if the saved plan does what fresh, which the policy
// at hand comes to, would not, unless it is done already.
func (r *applyRun) stillPlanned(ctx context.Context, fresh *planner.Plan) error {
	wanted := make(map[mstrapi.ObjectID]*planner.Change, len(fresh.Changes))
	for i := range fresh.Changes {
		wanted[fresh.Changes[i].Principal.ID] = &fresh.Changes[i]
	}
	for i := range r.plan.Changes {
		c := &r.plan.Changes[i]
		if r.misnamed[c.Principal.ID] != nil {
			continue // nothing is done about it
		}
		grant, revoke := planned(c.Grant), planned(c.Revoke)
		if w := wanted[c.Principal.ID]; w != nil {
			grant, revoke = grant.Minus(planned(w.Grant)), revoke.Minus(planned(w.Revoke))
		}
		if grant.IsEmpty() && revoke.IsEmpty() {
			continue
		}
		seen, gone, err := lookAt(ctx, r.writer.Reader, c.Principal, r.plan.Scope.Level)
		if err != nil {
			return err
		}
		if gone {
			continue
		}
		grant, revoke = grant.Minus(seen.Direct), revoke.Intersect(seen.Direct)
		for p := range grant.All() {
			return unplanned("the saved plan grants privilege %d to %s %s, which the policy at hand does not", p, c.Principal.Kind, clean.Quote(c.Principal.Name))
		}
		for p := range revoke.All() {
			return unplanned("the saved plan revokes privilege %d from %s %s, which the policy at hand does not", p, c.Principal.Kind, clean.Quote(c.Principal.Name))
		}
	}
	for _, name := range r.plan.Commands {
		if !slices.Contains(fresh.Commands, name) {
			return unplanned("the saved plan runs the command %s, which the policy at hand does not", clean.Quote(name))
		}
	}
	return nil
}

func planned(list []planner.PlannedPrivilege) (s planner.Set) {
	for _, p := range list {
		s.Add(p.ID)
	}
	return s
}

// checkEarlier finds the runs that applied the saved plan before, and says so. If a
// later run took back what they did, as the apply of a rollback does, the plan is
// refused: carried out again it would undo that.
func (r *applyRun) checkEarlier(ctx context.Context) error {
	if !r.saved {
		return nil
	}
	earlier, err := r.store.Earlier(ctx, r.dest, r.plan, sameServer(ctx, r.server))
	if err != nil {
		r.log.Warn("whether this plan was applied before is not known for sure", "error", err)
	}
	if earlier.Last.ID == "" {
		return nil
	}
	r.earlier = earlier
	for i := range r.plan.Changes {
		who := r.plan.Changes[i].Principal
		w := earlier.Writes[who.ID]
		if w == nil || w.Reverted.IsEmpty() {
			continue
		}
		seen, gone, err := lookAt(ctx, r.writer.Reader, who, r.plan.Scope.Level)
		if err != nil {
			return err
		}
		if gone {
			continue
		}
		if back := w.TakenBack(seen.Direct).Intersect(w.Reverted); !back.IsEmpty() {
			return refused(fmt.Errorf("run %s applied this plan at %s, and run %s at %s took back what it did to %s %s (privileges %v): nothing was written, for it would undo that",
				w.Run.ID, startOf(w.Run), w.RevertedBy.ID, startOf(w.RevertedBy), who.Kind, clean.Quote(cmp.Or(who.Login, who.Name)), back.IDs()), newPlanHint)
		}
	}
	r.say("run %s applied this plan before, at %s: what is left of it is done, and what was taken back since is left alone", earlier.Last.ID, startOf(earlier.Last))
	return nil
}

func startOf(run executor.Run) string { return run.StartedAt.UTC().Format(time.RFC3339) }
