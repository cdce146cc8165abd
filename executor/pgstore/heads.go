package pgstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"privsync/executor"
	"privsync/planner"
)

// headRow is a row of report with the id of its run.
type headRow struct {
	Chain, File, Digest, Previous                                      string
	Length                                                             int
	ID, Command, Outcome, URL, Environment, Policy, PolicyDigest, Base string
	Plan                                                               string
	Summary                                                            []byte
	Recovered                                                          bool
	Started, Finished                                                  time.Time
}

// Heads returns what the rows say of the reports in all chains of the store, newest first, and
// where a chain is broken: a report that is missing, or that follows another than its
// place says. The documents themselves are not read.
func (s *Store) Heads(ctx context.Context) ([]executor.ReportHead, []string, error) {
	var rows []headRow
	ends := make(map[string]head)
	err := s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		if rows, err = rowsOf(ctx, tx, pgx.RowToStructByPos[headRow], `SELECT p.chain, p.file, p.digest, p.previous, p.length, r.id, p.command, p.outcome, p.url, p.environment, p.policy, p.policy_digest, p.base_digest,
			p.plan_digest, p.summary, p.recovered, p.started_at, p.finished_at FROM report p JOIN run r ON r.name = p.run ORDER BY p.chain, p.length`); err != nil {
			return err
		}
		chains, err := rowsOf(ctx, tx, pgx.RowTo[string], "SELECT DISTINCT chain FROM journal WHERE type = 'closed'")
		clear(ends)
		for _, chain := range chains {
			if err == nil {
				ends[chain], err = readHead(ctx, tx, chain)
			}
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	problems := brokenLinks(rows, ends)
	heads := make([]executor.ReportHead, 0, len(rows))
	for _, r := range rows {
		h := executor.ReportHead{
			Report: s.place(r.File), Digest: r.Digest, Server: r.URL,
			Run:    executor.Run{ID: r.ID, Command: r.Command, StartedAt: r.Started, FinishedAt: r.Finished, Outcome: executor.RunOutcome(r.Outcome), Recovered: r.Recovered},
			Policy: planner.PolicyRef{Name: r.Policy, Environment: r.Environment, Digest: r.PolicyDigest, BaseDigest: r.Base}, Plan: executor.PlanRef{Digest: r.Plan},
		}
		if err := json.Unmarshal(r.Summary, &h.Summary); err != nil {
			return nil, nil, fmt.Errorf("report %s: %w", h.Report, err)
		}
		heads = append(heads, h)
	}
	slices.SortStableFunc(heads, func(a, b executor.ReportHead) int { return b.Run.StartedAt.Compare(a.Run.StartedAt) })
	return heads, problems, nil
}

// brokenLinks says where the chains of rows, which are in order, have gaps or end early.
func brokenLinks(rows []headRow, ends map[string]head) []string {
	var problems []string
	last := make(map[string]head)
	for _, r := range rows {
		before, ok := last[r.Chain]
		if !ok {
			before = head{Head: executor.Head{Length: ends[r.Chain].Pruned, Digest: ends[r.Chain].Checkpoint}}
		}
		switch {
		case r.Length != before.Length+1:
			problems = append(problems, fmt.Sprintf("chain %s: %d reports before %s are missing", r.Chain, r.Length-before.Length-1, r.File))
		case r.Previous != before.Digest:
			problems = append(problems, fmt.Sprintf("chain %s: %s does not follow the report before it", r.Chain, r.File))
		}
		last[r.Chain] = head{Head: executor.Head{Length: r.Length, Digest: r.Digest}}
	}
	for chain, end := range ends {
		if at := last[chain]; at.Length != end.Length || at.Digest != end.Digest {
			problems = append(problems, fmt.Sprintf("chain %s: the newest report, %s, is missing", chain, end.File))
		}
	}
	slices.Sort(problems)
	return problems
}

// Findings reads the document of the report.
func (s *Store) Findings(ctx context.Context, h executor.ReportHead) ([]planner.Finding, error) {
	doc, _, err := s.Find(ctx, h.Digest)
	if err != nil {
		return nil, err
	}
	return doc.Findings(h.Digest)
}
