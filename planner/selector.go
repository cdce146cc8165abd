package planner

import (
	"cmp"
	"context"
	"fmt"

	"privsync/mstrapi"
	"privsync/policy"
)

// placeSelected covers everybody whom a selector chooses.
func (rs *resolver) placeSelected(ctx context.Context, entry int32, s *policy.Selector) error {
	st := rs.st
	fail := func(f Finding) {
		if f.Code == CodeReadFailed {
			st.failed[int(entry)] = fmt.Errorf("%s", f.Message)
		} else {
			st.unresolved[int(entry)] = true
		}
		st.findings = append(st.findings, f)
	}
	rows, problem, absent, err := rs.chosen(ctx, s, rs.pol.Principals[entry].Settings.Missing)
	switch {
	case err != nil:
		return err
	case absent:
		st.findings = append(st.findings, *problem)
		st.vacant = append(st.vacant, entry)
	case problem != nil:
		fail(*problem)
	case len(rows) == 0:
		st.findings = append(st.findings, emptySelector(s))
	}
	for _, row := range rows {
		rs.cover(entry, row)
	}
	return nil
}

func emptySelector(s *policy.Selector) Finding {
	return Finding{
		Code: CodeSelectorEmpty, Severity: SeverityWarning, Position: position(s.Pos),
		Message: fmt.Sprintf("the selector chooses no %s", s.Kind),
	}
}

// chosen returns whom a selector chooses. The finding says why that is not known;
// absent: because the server does not have the group that it chooses from, which missing
// lets pass. An error ends the observation.
func (rs *resolver) chosen(ctx context.Context, s *policy.Selector, missing policy.Missing) (rows []mstrapi.PrincipalRow, problem *Finding, absent bool, err error) {
	kind := mstrapi.Kind(s.Kind)
	if s.MemberOf != "" {
		group, problem := rs.named(s.Group())
		if problem != nil {
			absent = rs.tolerate(problem, missing)
			return nil, problem, absent, nil
		}
		if rows, err = rs.membersOf(ctx, group.ID, kind, s.Nested); err != nil {
			gone, fatal := rs.isGone(ctx, mstrapi.Group, group.ID, err)
			if gone {
				problem = rs.goneGroup(s.Group(), group)
				absent = rs.tolerate(problem, missing)
				return nil, problem, absent, nil
			}
			err = cmp.Or(fatal, err)
		}
	} else {
		rows, err = rs.names[kind].all, rs.names[kind].err
	}
	if err == nil {
		rows, err = rs.choose(ctx, s, rows)
	}
	if err == nil && len(s.Except) > 0 {
		if rows, problem, err = rs.without(ctx, s, rows); problem != nil {
			return nil, problem, false, nil
		}
	}
	switch {
	case err == nil:
		return rows, nil, false, nil
	case isFatal(ctx, err):
		return nil, nil, false, err
	}
	return nil, &Finding{
		Code: CodeReadFailed, Severity: SeverityError, Position: position(s.Pos),
		Message: fmt.Sprintf("whom the selector chooses could not be read completely: %v", err),
	}, false, nil
}

// protectChosen protects whom a selector chooses; where that is not known, everybody
// whom it may choose.
func (rs *resolver) protectChosen(ctx context.Context, s *policy.Selector) error {
	st := rs.st
	rows, problem, absent, err := rs.chosen(ctx, s, rs.pol.Defaults.Missing)
	switch {
	case err != nil:
		return err
	case problem != nil:
		st.findings = append(st.findings, *problem)
		if absent {
			return nil
		}
		for _, o := range st.covered {
			if mayChoose(s, o) {
				st.protect(o.Principal)
			}
		}
		rs.unprotected = true
	case len(rows) == 0:
		st.findings = append(st.findings, emptySelector(s))
	}
	for _, row := range rows {
		st.protect(principalOf(row))
	}
	return nil
}

// membersOf returns the users or groups in a group, with nested at any depth.
func (rs *resolver) membersOf(ctx context.Context, group mstrapi.ObjectID, kind mstrapi.Kind, nested bool) ([]mstrapi.PrincipalRow, error) {
	// Only users are sure to be in a flat list: who looks for groups goes down
	// group by group. A server that does not know flatMembers lists groups too;
	// then so does who looks for users.
	flat := nested && kind == mstrapi.User
	var out []mstrapi.PrincipalRow
	seen := map[mstrapi.ObjectID]bool{group: true}
	names := make(map[mstrapi.ObjectID]Principal)
	todo := []mstrapi.ObjectID{group}
	for len(todo) > 0 {
		id := todo[0]
		todo = todo[1:]
		rows, err := rs.readMembers(ctx, id, flat)
		if err != nil && id != group {
			// The group above named it; without it the rest is whole.
			gone, fatal := rs.isGone(ctx, mstrapi.Group, id, err)
			if fatal != nil {
				return nil, fatal
			}
			if gone {
				rs.noteGone(names[id])
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if seen[row.ID] {
				continue
			}
			seen[row.ID] = true
			if row.Kind == kind {
				out = append(out, row)
			}
			if row.Kind == mstrapi.Group && nested {
				todo = append(todo, row.ID)
				names[row.ID] = principalOf(row)
			}
		}
	}
	return out, nil
}

// candidate is what is known of a principal, for a selector.
func candidate(who Principal, enabled mstrapi.Tri) policy.Candidate {
	c := policy.Candidate{Kind: policy.Kind(who.Kind), Name: who.Name, Login: who.Login}
	switch enabled {
	case mstrapi.Yes:
		c.Enabled = policy.Yes
	case mstrapi.No:
		c.Enabled = policy.No
	}
	return c
}

// choose returns the rows that meet the conditions of a selector; what rows lack for
// that is read.
func (rs *resolver) choose(ctx context.Context, s *policy.Selector, rows []mstrapi.PrincipalRow) ([]mstrapi.PrincipalRow, error) {
	match := func(row mstrapi.PrincipalRow) policy.Answer {
		return s.Match(candidate(principalOf(row), row.Enabled))
	}
	var out, vague []mstrapi.PrincipalRow
	for _, row := range rows {
		switch match(row) {
		case policy.Yes:
			out = append(out, row)
		case policy.Unknown:
			vague = append(vague, row)
		}
	}
	if len(vague) == 0 {
		return out, nil
	}
	full, err := rs.fill(ctx, vague)
	if err != nil {
		return nil, err
	}
	for _, row := range full {
		switch match(row) {
		case policy.Yes:
			out = append(out, row)
		case policy.Unknown:
			return nil, fmt.Errorf("the server does not tell the login of user %s or whether it is enabled: %w", row.ID, mstrapi.ErrIncomplete)
		}
	}
	return out, nil
}

// fill adds what rows of users lack, from the members of Everyone, whose rows
// carry it, or by reading each user, whichever takes fewer requests.
func (rs *resolver) fill(ctx context.Context, rows []mstrapi.PrincipalRow) ([]mstrapi.PrincipalRow, error) {
	if err := rs.everyone.read(ctx, rs.r, len(rows)); err != nil {
		return nil, err
	}
	out := make([]mstrapi.PrincipalRow, len(rows))
	gone := make([]bool, len(rows))
	err := rs.each(ctx, len(rows), func(ctx context.Context, i int) error {
		row := rows[i]
		if more, ok := rs.everyone[row.ID]; ok && more.Enabled != mstrapi.Unknown && more.Login != "" {
			row.Login, row.Enabled = more.Login, more.Enabled
			out[i] = row
			return nil
		}
		full, is, err := rs.readRow(ctx, row.Kind, row.ID)
		if is {
			rs.noteGone(principalOf(row))
		}
		out[i], gone[i] = full, is
		return err
	})
	if err != nil {
		return nil, err
	}
	left := out[:0]
	for i := range out {
		if !gone[i] {
			left = append(left, out[i])
		}
	}
	return left, nil
}
