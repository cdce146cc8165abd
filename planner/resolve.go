package planner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/panics"
	"privsync/policy"
)

// resolver finds whom a policy names and whom its selectors choose, and notes in the
// state who is covered by which entry.
type resolver struct {
	*reading
	pol        *policy.Policy
	names      map[mstrapi.Kind]*directory
	everyone   everyone
	memberRows map[memberKey][]mstrapi.PrincipalRow
	// unprotected says that it is not known who is protected: nobody counts as unlisted.
	unprotected bool
}

func newResolver(rd *reading, pol *policy.Policy) *resolver {
	rs := &resolver{reading: rd, pol: pol, names: make(map[mstrapi.Kind]*directory), memberRows: make(map[memberKey][]mstrapi.PrincipalRow)}
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		rs.names[kind] = &directory{reading: rd, kind: kind, byID: make(map[mstrapi.ObjectID]*lookup), byName: make(map[string]*lookup)}
	}
	return rs
}

// resolve finds the names, then places everybody.
func (rs *resolver) resolve(ctx context.Context) error {
	for ref := range rs.pol.Named(rs.st.Now) {
		rs.directory(ref).add(ref)
	}
	rs.progress.start("resolve", len(rs.names[mstrapi.Group].list)+len(rs.names[mstrapi.User].list))
	g, gctx := errgroup.WithContext(ctx)
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		panics.Go(g, func() error { return rs.names[kind].resolve(gctx, rs.needsList(kind)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var found []*mstrapi.PrincipalRow
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		for _, l := range rs.names[kind].list {
			for i := range l.rows {
				found = append(found, &l.rows[i])
			}
		}
	}
	if err := rs.readTenants(ctx, found, maxTenants); err != nil {
		return err
	}
	return rs.place(ctx)
}

// directory returns the one in which ref is to be found.
func (rs *resolver) directory(ref policy.PrincipalRef) *directory {
	return rs.names[mstrapi.Kind(ref.Kind)]
}

// judgesEverybody reports whether the policy's rules are to judge all users and
// groups of the server. Rules that only require something look for holders by
// themselves.
func (rs *resolver) judgesEverybody() bool {
	return rs.st.judging == JudgeEverybody &&
		slices.ContainsFunc(rs.pol.Rules, func(r policy.Rule) bool { return len(r.Deny) > 0 || len(r.Conflict) > 0 })
}

// needsList reports whether every principal of the kind is needed anyway.
func (rs *resolver) needsList(kind mstrapi.Kind) bool {
	if rs.pol.Unlisted != policy.UnlistedIgnore || rs.judgesEverybody() || rs.st.everybody {
		return true
	}
	fromAll := func(s *policy.Selector) bool {
		return s != nil && s.MemberOf == "" && mstrapi.Kind(s.Kind) == kind
	}
	return slices.ContainsFunc(rs.pol.Principals, func(e policy.Entry) bool { return fromAll(e.Selector) }) ||
		rs.pol.Safety != nil && slices.ContainsFunc(rs.pol.Safety.ProtectedBy, fromAll)
}

// place records who is covered by which entry.
func (rs *resolver) place(ctx context.Context) error {
	st := rs.st
	for i := range rs.pol.Principals {
		e := &rs.pol.Principals[i]
		switch {
		case e.Principal != nil:
			rs.placeExplicit(int32(i), *e.Principal)
		case e.Selector != nil:
			if err := rs.placeSelected(ctx, int32(i), e.Selector); err != nil {
				return err
			}
		}
	}
	rs.markLost()
	if rs.pol.Safety != nil {
		for _, ref := range rs.pol.Safety.Protected {
			row, problem := rs.named(ref)
			if problem != nil {
				rs.tolerate(problem, rs.pol.Defaults.Missing)
				st.findings = append(st.findings, *problem)
				if problem.Code == CodeReadFailed {
					rs.unprotected = true
					// Whoever it may be stays protected.
					for _, o := range st.covered {
						if mayBe(ref, o) {
							st.protect(o.Principal)
						}
					}
				}
				continue
			}
			st.protect(principalOf(row))
		}
		for _, s := range rs.pol.Safety.ProtectedBy {
			if err := rs.protectChosen(ctx, s); err != nil {
				return err
			}
		}
	}
	for i, r := range rs.pol.Rules {
		for j, x := range r.Except {
			if x.Expired(rs.st.Now) {
				continue
			}
			row, problem := rs.named(x.PrincipalRef)
			if problem != nil {
				rs.tolerate(problem, rs.pol.Defaults.Missing)
				st.findings = append(st.findings, *problem)
				continue
			}
			st.except[[2]int{i, j}] = principalOf(row)
		}
	}
	rs.placeUnlisted()
	return nil
}

// markLost makes those unknown who may be meant by an entry that could not be
// looked up, while only selectors are known to cover them: what the policy wants
// of them is not known.
func (rs *resolver) markLost() {
	for i, err := range rs.st.failed {
		ref := rs.pol.Principals[i].Principal
		if ref == nil {
			continue
		}
		for _, o := range rs.st.covered {
			if !isExplicit(rs.pol, o.entries) && mayBe(*ref, o) {
				o.Err = fmt.Errorf("its own entry: %w", err)
			}
		}
	}
}

// mayBe reports whether o may be the one that ref names.
func mayBe(ref policy.PrincipalRef, o *Observed) bool {
	who := o.Principal
	switch key := keyOfRef(ref); {
	case key.kind != who.Kind:
		return false
	case key.id != "":
		return key.id == who.ID
	case key.kind == mstrapi.Group:
		return key.name == who.Name
	default:
		return who.Login == "" || key.name == policy.FoldLogin(who.Login)
	}
}

func (s *State) protect(p Principal) {
	if s.isProtected[p.ID] {
		return
	}
	if s.isProtected == nil {
		s.isProtected = make(map[mstrapi.ObjectID]bool)
	}
	s.isProtected[p.ID] = true
	s.protected = append(s.protected, p)
}

// named is one, with a finding where a pinned name does not fit.
func (rs *resolver) named(ref policy.PrincipalRef) (mstrapi.PrincipalRow, *Finding) {
	row, problem := rs.directory(ref).one(ref)
	if problem == nil {
		if f := checkName(ref, row); f != nil {
			rs.st.findings = append(rs.st.findings, *f)
		}
	}
	return row, problem
}

// checkName compares the name beside a pinned id.
func checkName(ref policy.PrincipalRef, row mstrapi.PrincipalRow) *Finding {
	if ref.ID == "" {
		return nil
	}
	is := row.Name
	if row.Kind == mstrapi.User {
		is = row.Login
		if policy.FoldLogin(is) == policy.FoldLogin(ref.Name) {
			return nil
		}
	} else if is == ref.Name {
		return nil
	}
	who := principalOf(row)
	return &Finding{
		Code: CodeNameMismatch, Severity: SeverityError, Principal: &who, Position: position(ref.Pos),
		Message: fmt.Sprintf("the id %s belongs to %s, not to %s %s", row.ID, who.Label(), ref.Kind, clean.Quote(ref.Name)),
	}
}

func (rs *resolver) placeExplicit(entry int32, ref policy.PrincipalRef) {
	st := rs.st
	rs.setApart(ref)
	row, problem := rs.named(ref)
	if problem != nil {
		absent := rs.tolerate(problem, rs.pol.Principals[entry].Settings.Missing)
		st.findings = append(st.findings, *problem)
		if absent {
			if ref.ID == "" {
				st.absentees = append(st.absentees, entry)
			}
			return
		}
		if problem.Code == CodeReadFailed {
			st.failed[int(entry)] = rs.directory(ref).find(ref).err
			st.lostNames++
		} else {
			st.unresolved[int(entry)] = true
		}
		return
	}
	if o := st.byID[row.ID]; o != nil {
		for _, e := range o.entries {
			if first := rs.pol.Principals[e].Principal; first != nil {
				who := o.Principal
				st.findings = append(st.findings, Finding{
					Code: CodeAmbiguousPrincipal, Severity: SeverityError, Principal: &who, Position: position(ref.Pos),
					Message: fmt.Sprintf("%s has two entries: this one and the one at %s", who.Label(), first.Pos),
				})
				st.unresolved[int(entry)] = true
				return
			}
		}
	}
	st.byEntry[entry] = rs.cover(entry, row)
}

// cover records that an entry covers a principal.
func (rs *resolver) cover(entry int32, row mstrapi.PrincipalRow) *Observed {
	st := rs.st
	o := st.byID[row.ID]
	if o == nil {
		o = rs.meet(row)
	}
	if !o.Covered {
		o.Covered = true
		st.covered = append(st.covered, o)
	}
	if o.Enabled == mstrapi.Unknown {
		o.Enabled = row.Enabled
	}
	if o.Principal.Login == "" && row.Kind == mstrapi.User {
		o.Principal.Login = row.Login
	}
	if o.Principal.Tenant == "" {
		o.Principal.Tenant = row.Tenant
	}
	if n := len(o.entries); n == 0 || o.entries[n-1] != entry {
		o.entries = append(o.entries, entry)
	}
	return o
}

func principalOf(row mstrapi.PrincipalRow) Principal {
	p := Principal{Kind: row.Kind, ID: row.ID, Name: row.Name, Tenant: row.Tenant}
	if row.Kind == mstrapi.User {
		p.Login = row.Login
	}
	return p
}

// placeUnlisted collects everybody whom no entry covers, where the policy asks
// for them, rules judge everybody or everybody is to be read. If it is not certain who is covered, it is
// not certain who is not: then nobody counts as unlisted.
func (rs *resolver) placeUnlisted() {
	st := rs.st
	rs.noteEveryone()
	asked := rs.pol.Unlisted != policy.UnlistedIgnore
	st.unscanned = asked && rs.unprotected
	if !asked && !rs.judgesEverybody() && !rs.st.everybody {
		return
	}
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		if err := rs.names[kind].err; err != nil {
			st.unscanned = asked
			what := "what is unlisted"
			switch {
			case asked:
			case rs.judgesEverybody():
				what = "whether anybody else breaks a rule"
			default:
				what = "who else there is"
			}
			st.findings = append(st.findings, Finding{
				Code: CodeReadFailed, Severity: SeverityError,
				Message: fmt.Sprintf("the list of all %ss could not be read completely, so %s is not known: %v", kind, what, err),
			})
		}
	}
	certain := asked && !st.unscanned && len(st.failed) == 0 && len(st.unresolved) == 0
	if !certain && !rs.judgesEverybody() && !rs.st.everybody {
		return
	}
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		for _, row := range rs.names[kind].all {
			if st.byID[row.ID] == nil {
				o := rs.meet(row)
				o.scanned = certain
				if certain {
					st.unlisted = append(st.unlisted, o)
				} else {
					st.strangers = append(st.strangers, o)
				}
			}
			if rs.judgesEverybody() {
				st.reached[row.ID] = true
			}
		}
	}
}

// setApart takes out of what the server has for a name without an id those that
// other entries pin: where one is left, it is the one that is meant.
func (rs *resolver) setApart(ref policy.PrincipalRef) {
	l := rs.directory(ref).find(ref)
	if ref.ID != "" || l.err != nil || len(l.rows) < 2 {
		return
	}
	rest := slices.DeleteFunc(slices.Clone(l.rows), func(row mstrapi.PrincipalRow) bool {
		return slices.ContainsFunc(rs.pol.Principals, func(e policy.Entry) bool {
			return e.Principal != nil && e.Principal.ID != "" && strings.EqualFold(e.Principal.ID, string(row.ID))
		})
	})
	if len(rest) == 1 {
		l.rows = rest
	}
}

// tolerate reports whether problem is that the server does not have somebody
// whose absence is only to be reported, and makes it a warning then. Who it was
// may go by another name now, so while it is open nobody counts as unlisted.
func (rs *resolver) tolerate(problem *Finding, missing policy.Missing) bool {
	if problem.Code != CodeUnknownPrincipal || missing != policy.MissingReport {
		return false
	}
	problem.Severity = SeverityWarning
	rs.st.absent = true
	return true
}
