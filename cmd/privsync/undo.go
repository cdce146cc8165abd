package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// checkReportNames compares the names in a report that is to be undone with the
// server, and puts the server's into it. A privilege whose number and name do not
// belong together refuses the report.
func checkReportNames(ctx context.Context, r *mstrapi.Reader, self mstrapi.ObjectID, report *executor.Report, concurrency int) (map[mstrapi.ObjectID]*planner.Identity, []planner.Finding, error) {
	list, err := r.Catalogue(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("catalogue of privileges: %w", err)
	}
	var refs []planner.PrivilegeRef
	var principals []planner.Principal
	for i := range report.Principals {
		res := &report.Principals[i]
		for _, p := range slices.Concat(res.Grant, res.Revoke) {
			refs = append(refs, p.PrivilegeRef)
		}
		if len(res.Granted)+len(res.Revoked) > 0 || res.Outcome == executor.Unverified {
			principals = append(principals, res.Principal)
		}
	}
	// What principals merely held may name numbers that the server does not have any more.
	for _, ref := range report.Privileges {
		if slices.ContainsFunc(list, func(p mstrapi.Privilege) bool { return p.ID == ref.ID }) {
			refs = append(refs, ref)
		}
	}
	if err := planner.CheckPrivileges(list, refs); err != nil {
		return nil, nil, refused(fmt.Errorf("the report is not undone: %w", err), "compare the report with a copy that was kept elsewhere")
	}
	ids, err := planner.Identify(ctx, r, self, principals, concurrency)
	if err != nil {
		return nil, nil, err
	}
	var findings []planner.Finding
	told := make(map[mstrapi.ObjectID]bool)
	for i := range report.Principals {
		p := &report.Principals[i].Principal
		id := ids[p.ID]
		if id == nil || id.Err != nil {
			continue
		}
		if id.Mismatch && !told[p.ID] {
			told[p.ID] = true
			findings = append(findings, id.Finding(*p))
		}
		*p = id.Principal
	}
	return ids, findings, nil
}

// leaveMisnamed takes principals out of plan that the server names otherwise than
// the report, or does not name at all, and adds the findings that say so.
func leaveMisnamed(plan *planner.Plan, ids map[mstrapi.ObjectID]*planner.Identity, findings []planner.Finding) {
	plan.Changes = slices.DeleteFunc(plan.Changes, func(c planner.Change) bool {
		id := ids[c.Principal.ID]
		if id == nil || !id.Mismatch && id.Err == nil {
			return false
		}
		plan.Summary.Changed--
		plan.Summary.Unknown++
		plan.Summary.Grants -= len(c.Grant)
		plan.Summary.Revokes -= len(c.Revoke)
		if !id.Mismatch {
			plan.Complete = false
			who := c.Principal
			findings = append(findings, planner.Finding{Code: planner.CodeReadFailed, Severity: planner.SeverityError, Principal: &who,
				Message: "its name could not be compared with the server's, so nothing is undone: " + id.Err.Error()})
		}
		return true
	})
	plan.Findings = append(plan.Findings, findings...)
	slices.SortStableFunc(plan.Findings, func(a, b planner.Finding) int { return a.Principal.Compare(b.Principal) })
	plan.Summary.Findings.Error += len(findings)
}

// judgeRollback puts the guards of pol into plan.
func (a *app) judgeRollback(ctx context.Context, r *mstrapi.Reader, concurrency int, pol *policy.Policy, now time.Time, plan *planner.Plan) error {
	state, err := a.observe(ctx, r, pol, planner.ObserveOptions{Concurrency: concurrency, Now: now})
	if err != nil {
		return err
	}
	fresh := planner.Make(pol, state, planner.MakeOptions{Tool: toolRef()})
	if len(fresh.Blocking()) > 0 || !fresh.Complete {
		return planEnding(&planner.Plan{Findings: fresh.Findings, Complete: fresh.Complete, Summary: fresh.Summary}, nil, false, false)
	}
	a.say("judged by the policy %s: its guards and protected principals", pol.Name)
	plan.Safety, plan.Policy = fresh.Safety, fresh.Policy
	return nil
}

// sayChain says whether the report in the file path belongs to a chain of reports that
// is whole. Its digest alone tells only that it is unedited, not who wrote it.
func (a *app) sayChain(path string, report *executor.Report) {
	if path == "-" {
		a.say("the report comes from the standard input and belongs to no chain of reports that could be checked")
		return
	}
	dir := filepath.Dir(path)
	chain, err := executor.VerifyChain(dir, nil)
	switch {
	case err == nil && len(chain.Broken()) == 0 && chain.Digest != "" && slices.ContainsFunc(chain.Links, func(l executor.ChainLink) bool {
		return l.File == filepath.Base(path) && l.Digest == report.Digest
	}):
		a.say("the report belongs to the chain of reports in %s, which is whole", dir)
	case err == nil && chain.Digest != "":
		a.log.Warn("the report does not belong to a whole chain of reports: whoever can write the file decides what is undone", "folder", dir, "do", "privsync verify-reports "+dir)
	default:
		a.log.Warn("the report belongs to no chain of reports: whoever can write the file decides what is undone", "report", path)
	}
}
