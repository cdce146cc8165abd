package executor

import (
	"context"

	"privsync/planner"
)

// isGone is [planner.IsGone]; what cannot be told is not gone.
func isGone(ctx context.Context, s PrincipalServer, actor planner.Actor, p planner.Principal, err error) bool {
	gone, _ := planner.IsGone(ctx, s, actor.ID, p.Kind, p.ID, err)
	return gone
}

// goneFinding tells of a principal that left the server while the run was under
// way, after so many writes to it.
func goneFinding(p planner.Principal, writes int) planner.Finding {
	text := p.Label() + " is not on the server any more: it was deleted meanwhile"
	if writes > 0 {
		text += ", after this run had sent a write to it"
	}
	return planner.Finding{Code: planner.CodeGonePrincipal, Severity: planner.SeverityInfo, Principal: &p, Message: text}
}

// tell adds a finding to the report.
func (r *run) tell(f planner.Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings = append(r.findings, f)
}
