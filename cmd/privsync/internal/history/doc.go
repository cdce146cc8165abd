// Package history compares documents of privsync and follows them through time.
//
// [Reports], [Plans] and [Policies] say what differs between two of a kind; [Since] says
// since when a principal holds what, by which run, and what changed without one. Both
// take the reports of the runs from a [Source], which is one chain of them; a [Folder] is
// one.
//
// The package reads values and decides nothing. It reads no policy and no document by
// itself but those of a [Folder].
package history

import (
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// Run names a run, with what its report says of where it came from and who let it.
type Run struct {
	ID         string              `json:"id"`
	Command    string              `json:"command"`
	StartedAt  time.Time           `json:"startedAt"`
	FinishedAt time.Time           `json:"finishedAt"`
	Outcome    executor.RunOutcome `json:"outcome"`
	Recovered  bool                `json:"recovered,omitempty"`
	Actor      planner.Actor       `json:"actor"`
	Policy     PolicyName          `json:"policy"`
	// Source is where the run came from, PlanSource the saved plan that it applied;
	// nil: the report does not say.
	Source     *planner.Provenance `json:"source,omitempty"`
	PlanSource *planner.Provenance `json:"planSource,omitempty"`
	Approvals  []executor.Approval `json:"approvals,omitempty"`
	Comment    string              `json:"comment,omitempty"`
	Report     string              `json:"report"` // digest of its report
}

// PolicyName names the policy of a run.
type PolicyName struct {
	Name        string `json:"name"`
	Environment string `json:"environment,omitempty"`
	Digest      string `json:"digest"`
}

func runOf(r *executor.Report) *Run {
	run := &Run{
		ID: r.Run.ID, Command: r.Run.Command, StartedAt: r.Run.StartedAt, FinishedAt: r.Run.FinishedAt, Outcome: r.Run.Outcome,
		Recovered: r.Run.Recovered, Actor: r.Actor, Policy: PolicyName{r.Policy.Name, r.Policy.Environment, r.Policy.Digest},
		Source: r.Run.Source, Comment: r.Run.Comment, Report: r.Digest,
	}
	if r.Plan != nil {
		run.PlanSource, run.Approvals = r.Plan.Source, r.Plan.Approvals
	}
	return run
}

// Way is how a principal holds a privilege.
type Way struct {
	Direct    bool                `json:"direct"`
	Inherited bool                `json:"inherited"`
	Groups    []mstrapi.ObjectRef `json:"groups,omitempty"` // those that the server names; audits only
	Roles     []mstrapi.RoleRef   `json:"roles,omitempty"`  // audits only
	Other     bool                `json:"other,omitempty"`  // audits only
}

// Cause says what brought a change about.
type Cause struct {
	// By is the run that did it; nil: none whose report is at hand.
	By *Run `json:"by,omitempty"`
	// Ticket is the policy's reason, which stands with what the run planned.
	Ticket string `json:"ticket,omitempty"`
	// Through are the groups that the run granted it to or revoked it from, where the
	// principal has it from them.
	Through []mstrapi.ObjectRef `json:"through,omitempty"`
	// OutOfBand says that no run did it whose report is at hand. It is false as well
	// where no reports were at hand: then nothing is known.
	OutOfBand bool `json:"outOfBand,omitempty"`
	// After and Until are the moments between which it came about; nil: not known.
	After *time.Time `json:"after,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

// Chain is a chain of reports that was looked into.
type Chain struct {
	Name     string   `json:"name"`
	Reports  int      `json:"reports"`
	Pruned   int      `json:"pruned,omitempty"` // older reports that were removed
	Problems []string `json:"problems,omitempty"`
}
