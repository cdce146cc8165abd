package executor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"privsync/clean"
	"privsync/planner"
)

// FleetFormat is the value of format in every overview of many environments.
const FleetFormat = "privsync/fleet/v1"

// Fleet is what reports and saved plans say about many environments at one time. Its
// JSON form is described by schema/fleet.schema.json.
type Fleet struct {
	Format        string             `json:"format"`
	Tool          planner.Tool       `json:"tool"`
	CreatedAt     time.Time          `json:"createdAt"`
	MaxAgeSeconds int64              `json:"maxAgeSeconds"` // a success that is older is late; 0: none is
	Sources       []FleetSource      `json:"sources"`
	Summary       FleetSummary       `json:"summary"`
	Environments  []FleetEnvironment `json:"environments"` // by environment, policy and server
}

// FleetSource is where reports were read. With problems its chain is broken, and only
// reports that are sound links of it were counted.
type FleetSource struct {
	Name     string   `json:"name"`
	Reports  int      `json:"reports"`
	Problems []string `json:"problems"`
}

// FleetSummary counts environments by state, and plans that wait.
type FleetSummary struct {
	Environments int `json:"environments"`
	OK           int `json:"ok"`
	Drift        int `json:"drift"`
	Failing      int `json:"failing"`
	Late         int `json:"late"`
	Never        int `json:"never"`
	Pending      int `json:"pending"` // plans
}

// FleetState is how an environment is. Where several hold it is the first of them.
type FleetState string

const (
	StateNever   FleetState = "never"   // no report
	StateFailing FleetState = "failing" // the last run did not do its work
	StateDrift   FleetState = "drift"   // something is not as the policy wants it
	StateLate    FleetState = "late"    // the last success is too long ago
	StateOK      FleetState = "ok"
)

// FleetEnvironment is one policy on one server. Environment is empty where the policy
// has no name for it.
type FleetEnvironment struct {
	Environment  string      `json:"environment"`
	Server       string      `json:"server"` // empty: not known, because there is no report
	Policy       string      `json:"policy"`
	State        FleetState  `json:"state"`
	PolicyDigest string      `json:"policyDigest,omitempty"` // of the last run
	BaseDigest   string      `json:"baseDigest,omitempty"`
	LastRun      *FleetRun   `json:"lastRun"`     // null: none
	LastSuccess  *FleetRun   `json:"lastSuccess"` // everything was as the policy wants it, and verified; null: never
	Drift        *FleetDrift `json:"drift"`       // null: no run has looked
	Pending      []FleetPlan `json:"pending"`     // saved plans that wait to be applied
	// Findings are those of the run that looked last, or of the last one.
	Findings FleetFindings `json:"findings"`
}

// FleetRun names a run and its report.
type FleetRun struct {
	ID         string     `json:"id"`
	Command    string     `json:"command"`
	StartedAt  time.Time  `json:"startedAt"`
	FinishedAt time.Time  `json:"finishedAt"`
	Outcome    RunOutcome `json:"outcome"`
	Report     string     `json:"report"` // its file, or what the store calls it
	Digest     string     `json:"digest"`
}

// FleetDrift is how many principals are not as the policy wants them, as the run saw
// that looked last.
type FleetDrift struct {
	Principals int       `json:"principals"`
	Run        string    `json:"run"`
	At         time.Time `json:"at"`
}

// FleetPlan is a saved plan that no report shows as applied.
type FleetPlan struct {
	File       string    `json:"file"`
	Digest     string    `json:"digest"`
	CreatedAt  time.Time `json:"createdAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
	Expired    bool      `json:"expired"`
	Principals int       `json:"principals"`
	Grants     int       `json:"grants"`
	Revokes    int       `json:"revokes"`
}

// FleetFindings counts findings by severity and by code.
type FleetFindings struct {
	Error   int         `json:"error"`
	Warning int         `json:"warning"`
	Info    int         `json:"info"`
	Codes   []FleetCode `json:"codes"` // by code
}

// FleetCode counts the findings of one code.
type FleetCode struct {
	Code  string `json:"code"`
	Count int    `json:"count"`
}

// SavedPlan is a plan and the file that it was read from.
type SavedPlan struct {
	File string
	Plan *planner.Plan
}

// FleetOptions are the settings of [MakeFleet].
type FleetOptions struct {
	Tool   planner.Tool
	Now    time.Time
	MaxAge time.Duration // of the last success; 0: no success is too old
	Plans  []SavedPlan   // that may wait to be applied
	// Expect are names of environments that must have a report: one without is never.
	Expect []string
}

type fleetKey struct{ environment, policy, server string }

// MakeFleet puts together what the sources say. The error says which source could not
// be read; a broken chain is no error and stands in the result.
func MakeFleet(ctx context.Context, sources []ReportSource, o FleetOptions) (*Fleet, error) {
	f := &Fleet{Format: FleetFormat, Tool: o.Tool, CreatedAt: stamp(o.Now), MaxAgeSeconds: int64(o.MaxAge / time.Second), Sources: []FleetSource{}, Environments: []FleetEnvironment{}}
	type head struct {
		*ReportHead
		source ReportSource
	}
	type row struct {
		FleetEnvironment
		last, success, looked head
	}
	rows := make(map[fleetKey]*row)
	at := func(k fleetKey) *row {
		if rows[k] == nil {
			rows[k] = &row{FleetEnvironment: FleetEnvironment{Environment: k.environment, Policy: k.policy, Server: k.server, Pending: []FleetPlan{}}}
		}
		return rows[k]
	}
	later := func(a, b head) head {
		if a.ReportHead == nil || b.Run.StartedAt.After(a.Run.StartedAt) {
			return b
		}
		return a
	}
	applied := make(map[string]bool) // digests of plans
	seen := make(map[string]bool)    // digests of reports: two sources may have the same
	for _, s := range sources {
		heads, problems, err := s.Heads(ctx)
		if err != nil {
			return nil, fmt.Errorf("reports in %s: %w", s, err)
		}
		f.Sources = append(f.Sources, FleetSource{Name: s.String(), Reports: len(heads), Problems: orEmpty(problems)})
		for i := range heads {
			h := head{&heads[i], s}
			if seen[h.Digest] {
				continue
			}
			seen[h.Digest] = true
			if h.Plan.Digest != "" && h.Run.Outcome != RunRefused && h.Looked() {
				applied[h.Plan.Digest] = true
			}
			r := at(fleetKey{h.Policy.Environment, h.Policy.Name, h.Server})
			r.last = later(r.last, h)
			if h.Fine() {
				r.success = later(r.success, h)
			}
			if h.Looked() {
				r.looked = later(r.looked, h)
			}
		}
	}
	for _, p := range o.Plans {
		if applied[p.Plan.Digest] || len(p.Plan.Changes)+len(p.Plan.Commands) == 0 {
			continue
		}
		r := at(fleetKey{p.Plan.Policy.Environment, p.Plan.Policy.Name, p.Plan.Environment.URL})
		r.Pending = append(r.Pending, FleetPlan{
			File: p.File, Digest: p.Plan.Digest, CreatedAt: stamp(p.Plan.CreatedAt), ExpiresAt: stamp(p.Plan.ExpiresAt), Expired: !o.Now.Before(p.Plan.ExpiresAt),
			Principals: len(p.Plan.Changes), Grants: p.Plan.Summary.Grants, Revokes: p.Plan.Summary.Revokes,
		})
	}
	for _, name := range o.Expect {
		known := false
		for k := range rows {
			known = known || k.environment == name
		}
		if !known {
			at(fleetKey{environment: name})
		}
	}
	for _, r := range rows {
		r.LastRun, r.LastSuccess = fleetRun(r.last.ReportHead), fleetRun(r.success.ReportHead)
		if r.last.ReportHead != nil {
			r.PolicyDigest, r.BaseDigest = r.last.Policy.Digest, r.last.Policy.BaseDigest
		}
		if r.looked.ReportHead != nil {
			r.Drift = &FleetDrift{Principals: r.looked.apart(), Run: r.looked.Run.ID, At: stamp(r.looked.Run.FinishedAt)}
		}
		r.State = r.state(o)
		r.Findings.Codes = []FleetCode{}
		if from := cmp.Or(r.looked, r.last); from.ReportHead != nil {
			findings, err := from.source.Findings(ctx, *from.ReportHead)
			if err != nil {
				return nil, err
			}
			r.Findings.count(findings)
		}
		slices.SortFunc(r.Pending, func(a, b FleetPlan) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.File, b.File)) })
		f.Environments = append(f.Environments, r.FleetEnvironment)
		f.Summary.count(&r.FleetEnvironment)
	}
	slices.SortFunc(f.Environments, func(a, b FleetEnvironment) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Server, b.Server))
	})
	return f, nil
}

func fleetRun(h *ReportHead) *FleetRun {
	if h == nil {
		return nil
	}
	return &FleetRun{ID: h.Run.ID, Command: h.Run.Command, StartedAt: stamp(h.Run.StartedAt), FinishedAt: stamp(h.Run.FinishedAt), Outcome: h.Run.Outcome, Report: h.Report, Digest: h.Digest}
}

// apart returns how many principals are not as the policy wants them, unknown ones
// included.
func (h *ReportHead) apart() int {
	return max(0, h.Summary.Principals-h.Summary.InSync-h.Summary.Applied)
}

func (e *FleetEnvironment) state(o FleetOptions) FleetState {
	drifting := e.Drift != nil && e.Drift.Principals > 0
	switch {
	case e.LastRun == nil:
		return StateNever
	case e.LastRun.Outcome == RunDrifted, drifting && e.LastRun.Outcome == RunPartial:
		return StateDrift
	case e.LastRun.Outcome != RunInSync && e.LastRun.Outcome != RunSucceeded:
		return StateFailing
	case drifting:
		return StateDrift
	case o.MaxAge > 0 && (e.LastSuccess == nil || o.Now.Sub(e.LastSuccess.FinishedAt) > o.MaxAge):
		return StateLate
	}
	return StateOK
}

func (c *FleetFindings) count(findings []planner.Finding) {
	codes := make(map[string]int)
	n := planner.CountFindings(findings)
	c.Error, c.Warning, c.Info = n.Error, n.Warning, n.Info
	for _, f := range findings {
		codes[clean.Clip(string(f.Code), 80)]++
	}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		c.Codes = append(c.Codes, FleetCode{code, codes[code]})
	}
}

func (s *FleetSummary) count(e *FleetEnvironment) {
	s.Environments++
	s.Pending += len(e.Pending)
	*map[FleetState]*int{StateOK: &s.OK, StateDrift: &s.Drift, StateFailing: &s.Failing, StateLate: &s.Late, StateNever: &s.Never}[e.State]++
}
