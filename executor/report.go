package executor

import (
	"time"

	"privsync/mstrapi"
	"privsync/planner"
)

// ReportFormat is the value of format in every report that this version writes.
const ReportFormat = "privsync/report/v1"

// Report is what one run did or saw, per principal, with evidence. Its JSON
// form is described by schema/report.schema.json.
type Report struct {
	Format      string               `json:"format"`
	Run         Run                  `json:"run"`
	Tool        planner.Tool         `json:"tool"`
	Environment planner.Environment  `json:"environment"`
	Actor       planner.Actor        `json:"actor"`
	Policy      planner.PolicyRef    `json:"policy"`
	Scope       planner.Scope        `json:"scope"`
	Plan        *PlanRef             `json:"plan,omitempty"` // the plan that was applied
	Coverage    *planner.Coverage    `json:"coverage,omitempty"`
	Rules       []planner.RuleResult `json:"rules"`              // the rules that were judged
	Licences    *planner.Licences    `json:"licences,omitempty"` // nil: they were not counted
	Summary     Summary              `json:"summary"`
	Principals  []Result             `json:"principals"`
	// Privileges names the numbers that before and after hold, sorted by number;
	// empty where no catalogue was at hand.
	Privileges []planner.PrivilegeRef `json:"privileges"`
	Findings   []planner.Finding      `json:"findings"`
	Guards     []planner.Guard        `json:"guards"` // exceeded, allowed or not
	// Exceptions is, in an audit, the register of the policy's exceptions; nil: not told.
	Exceptions []planner.Exception `json:"exceptions,omitzero"`
	Commands   []CommandResult     `json:"commands"`
	Error      *Error              `json:"error,omitempty"` // what ended the run early
	Previous   string              `json:"previous,omitempty"`
	Digest     string              `json:"digest"` // SHA-256 of the canonical document without digest
}

// Run identifies a run.
type Run struct {
	ID         string     `json:"id"`
	Command    string     `json:"command"` // apply, audit
	StartedAt  time.Time  `json:"startedAt"`
	FinishedAt time.Time  `json:"finishedAt"`
	Outcome    RunOutcome `json:"outcome"`
	Recovered  bool       `json:"recovered,omitempty"` // written by a later run from the journal
	// Other is the digest of another report of this run, which it wrote itself where it
	// could not reach its store any more; empty: none is known.
	Other   string `json:"other,omitempty"`
	Comment string `json:"comment,omitempty"` // what --comment said; empty: nothing
	// Source is where the run came from; that of a saved plan is [PlanRef.Source].
	Source *planner.Provenance `json:"source,omitempty"`
}

// PlanRef names the plan that a report's run applied.
type PlanRef struct {
	Digest    string     `json:"digest"`
	Maker     string     `json:"maker,omitempty"`     // as it was known to the run; see [planner.Plan]
	Approvals []Approval `json:"approvals,omitempty"` // those that counted; none where none was asked for
	// Source is where the plan says that it came from; nil: it does not.
	Source *planner.Provenance `json:"source,omitempty"`
}

// Approval is a signature over a plan that counted.
type Approval struct {
	By  string `json:"by"`  // the person, as allowed_signers names it
	Key string `json:"key"` // fingerprint of the key
}

// RunOutcome is the ending of a run.
type RunOutcome string

const (
	RunInSync      RunOutcome = "in-sync"     // nothing to do
	RunDrifted     RunOutcome = "drifted"     // audit: everything was judged, and something is not as the policy wants it
	RunSucceeded   RunOutcome = "succeeded"   // everything done and verified
	RunPartial     RunOutcome = "partial"     // something was not done or not verified, or cannot be mended
	RunFailed      RunOutcome = "failed"      // an error ended it, or nothing of what was planned was achieved
	RunRefused     RunOutcome = "refused"     // a guard, a rule, a finding or a stale plan: nothing written
	RunInterrupted RunOutcome = "interrupted" // stopped by a signal
)

// Outcome is the ending of one principal, one word for all its waves.
type Outcome string

const (
	InSync       Outcome = "in-sync"
	Drifted      Outcome = "drifted" // what is there is not what the policy wants
	Applied      Outcome = "applied" // everything planned is verified, and nothing is against the policy
	Failed       Outcome = "failed"
	Stale        Outcome = "stale"      // its direct grants differ from the plan's observation
	HeldBack     Outcome = "held-back"  // a grant that it relies on is not verified, or ended between its waves
	Unverified   Outcome = "unverified" // written, and not seen to be so
	NotAttempted Outcome = "not-attempted"
	UnknownState Outcome = "unknown" // could not be read completely
)

// Summary counts principals by outcome, verified grants and revokes, and
// requests.
type Summary struct {
	Principals   int   `json:"principals"`
	InSync       int   `json:"inSync"`
	Drifted      int   `json:"drifted"`
	Applied      int   `json:"applied"`
	Failed       int   `json:"failed"`
	Stale        int   `json:"stale"`
	HeldBack     int   `json:"heldBack"`
	Unverified   int   `json:"unverified"`
	NotAttempted int   `json:"notAttempted"`
	Unknown      int   `json:"unknown"`
	Missing      *int  `json:"missing,omitempty"` // audit: listed privileges that are not there
	Surplus      *int  `json:"surplus,omitempty"` // audit: direct grants that are not to be there
	Grants       int   `json:"grants"`
	Revokes      int   `json:"revokes"`
	Requests     int64 `json:"requests"`
	Retries      int64 `json:"retries"`
}

// Result is what happened to one principal. Grant and Revoke are what was
// planned; After is what is there.
type Result struct {
	Principal  planner.Principal          `json:"principal"`
	Outcome    Outcome                    `json:"outcome"`
	Grant      []planner.PlannedPrivilege `json:"grant"`
	Revoke     []planner.PlannedPrivilege `json:"revoke"`
	Granted    []mstrapi.PrivilegeID      `json:"granted,omitempty"`  // of Grant: done by this run and seen by reading back
	Revoked    []mstrapi.PrivilegeID      `json:"revoked,omitempty"`  // of Revoke: done by this run and seen by reading back
	HeldBack   []planner.PrivilegeRef     `json:"heldBack,omitempty"` // revokes that were held back
	Came       []mstrapi.PrivilegeID      `json:"came,omitempty"`     // direct grants that are there and that the run did not make
	Went       []mstrapi.PrivilegeID      `json:"went,omitempty"`     // direct grants that are not there any more and that the run did not revoke
	Before     *Sets                      `json:"before"`             // null: unknown
	After      *Sets                      `json:"after"`              // null: unknown
	Attempts   int                        `json:"attempts"`           // PATCH requests sent
	StartedAt  time.Time                  `json:"startedAt"`
	DurationMs int64                      `json:"durationMs"`
	Error      *Error                     `json:"error,omitempty"`
}

// Sets are the privileges in scope that a principal held, sorted. Sources is
// filled by audit only.
type Sets struct {
	Direct    planner.Set       `json:"direct"`
	Inherited planner.Set       `json:"inherited"`
	Sources   []PrivilegeSource `json:"sources,omitempty"`
}

// PrivilegeSource says why one privilege is held.
type PrivilegeSource struct {
	Privilege mstrapi.PrivilegeID `json:"privilege"`
	Direct    bool                `json:"direct"`
	Groups    []mstrapi.ObjectRef `json:"groups"`
	Roles     []mstrapi.RoleRef   `json:"roles,omitempty"` // security roles that give it in one project: not inherited
	Other     bool                `json:"other,omitempty"` // something else gives it
}

// Error is an error as a report tells it. Status is 0 when no answer came.
type Error struct {
	Status      int    `json:"status,omitempty"`
	Code        string `json:"code,omitempty"`
	IServerCode int    `json:"iServerCode,omitempty"`
	Message     string `json:"message"`
	TicketID    string `json:"ticketId,omitempty"`
}

// CommandResult is what happened to one metadata command.
type CommandResult struct {
	Name             string         `json:"name"`
	QueueID          string         `json:"queueId"`
	Status           int            `json:"status"`
	Progress         int            `json:"progress"`
	IServerErrorCode int            `json:"iServerErrorCode"`
	Outcome          CommandOutcome `json:"outcome"`
	Error            *Error         `json:"error,omitempty"`
}

// CommandOutcome is the ending of a metadata command.
type CommandOutcome string

const (
	CommandSucceeded    CommandOutcome = "succeeded"
	CommandFailed       CommandOutcome = "failed"
	CommandTimedOut     CommandOutcome = "timed-out"   // still running when the time was over
	CommandInterrupted  CommandOutcome = "interrupted" // submitted, not followed to its end
	CommandNotAttempted CommandOutcome = "not-attempted"
)
