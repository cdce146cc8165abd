package planner

import (
	"cmp"
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

// principalKey is a principal as a policy names it: by id, or by folded login (users)
// or exact name (groups).
type principalKey struct {
	kind mstrapi.Kind
	id   mstrapi.ObjectID
	name string
}

func keyOfRef(ref policy.PrincipalRef) principalKey {
	kind := mstrapi.Kind(ref.Kind)
	if ref.ID != "" {
		return principalKey{kind: kind, id: mstrapi.ObjectID(strings.ToUpper(ref.ID))}
	}
	if kind == mstrapi.User {
		return principalKey{kind: kind, name: policy.FoldLogin(ref.Name)}
	}
	return principalKey{kind: kind, name: ref.Name}
}

// lookup is what the server has for a principalKey.
type lookup struct {
	key  principalKey
	text string // as the policy writes it
	rows []mstrapi.PrincipalRow
	near []mstrapi.PrincipalRow // where nobody is called so: some whose names begin alike
	err  error
}

// lookups are those of one kind.
type lookups struct {
	list   []*lookup
	byID   map[mstrapi.ObjectID]*lookup
	byName map[string]*lookup
}

func newLookups() *lookups {
	return &lookups{byID: make(map[mstrapi.ObjectID]*lookup), byName: make(map[string]*lookup)}
}

// find returns the lookup of key, or nil.
func (ls *lookups) find(key principalKey) *lookup {
	if key.id != "" {
		return ls.byID[key.id]
	}
	return ls.byName[key.name]
}

// add adds the lookup of ref unless there is one.
func (ls *lookups) add(ref policy.PrincipalRef) {
	l := &lookup{key: keyOfRef(ref), text: ref.Name}
	if ls.find(l.key) != nil {
		return
	}
	ls.list = append(ls.list, l)
	if l.key.id != "" {
		ls.byID[l.key.id] = l
	} else {
		ls.byName[l.key.name] = l
	}
}

// lookupOf returns the lookup of ref, which the policy names.
func (ob *observer) lookupOf(ref policy.PrincipalRef) *lookup {
	return ob.lookups[mstrapi.Kind(ref.Kind)].find(keyOfRef(ref))
}

// resolve finds whom the policy names and whom its selectors choose.
func (ob *observer) resolve(ctx context.Context) error {
	ob.lookups = map[mstrapi.Kind]*lookups{mstrapi.Group: newLookups(), mstrapi.User: newLookups()}
	for ref := range ob.pol.Named(ob.st.Now) {
		ob.lookups[mstrapi.Kind(ref.Kind)].add(ref)
	}
	ob.progress.start("resolve", len(ob.lookups[mstrapi.Group].list)+len(ob.lookups[mstrapi.User].list))
	g, gctx := errgroup.WithContext(ctx)
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		panics.Go(g, func() error { return ob.resolveKind(gctx, kind) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := ob.readTenants(ctx); err != nil {
		return err
	}
	return ob.place(ctx)
}

// judgesEverybody reports whether the policy's rules are to judge all users and
// groups of the server. Rules that only require something look for holders by
// themselves.
func (ob *observer) judgesEverybody() bool {
	return ob.st.judging == JudgeEverybody &&
		slices.ContainsFunc(ob.pol.Rules, func(r policy.Rule) bool { return len(r.Deny) > 0 || len(r.Conflict) > 0 })
}

// needsList reports whether every principal of the kind is needed anyway.
func (ob *observer) needsList(kind mstrapi.Kind) bool {
	if ob.pol.Unlisted == policy.UnlistedReport || ob.pol.Unlisted == policy.UnlistedRevoke || ob.judgesEverybody() || ob.st.everybody {
		return true
	}
	fromAll := func(s *policy.Selector) bool {
		return s != nil && s.MemberOf == "" && mstrapi.Kind(s.Kind) == kind
	}
	return slices.ContainsFunc(ob.pol.Principals, func(e policy.Entry) bool { return fromAll(e.Selector) }) ||
		ob.pol.Safety != nil && slices.ContainsFunc(ob.pol.Safety.ProtectedBy, fromAll)
}

// resolveKind resolves the names and ids of one kind with as few requests as
// possible: one for each, or the pages of the whole list where these are fewer.
func (ob *observer) resolveKind(ctx context.Context, kind mstrapi.Kind) error {
	names := ob.lookups[kind]
	all := ob.needsList(kind)
	if len(names.list) == 0 && !all {
		return nil
	}
	if len(names.list) == 1 && !all {
		return ob.lookUpEach(ctx, names.list)
	}
	whole := ob.r.List(kind, mstrapi.Query{})
	first, err := whole.First(ctx)
	if err == nil && first.Total >= 0 {
		ob.noteTotal(kind, first.Total)
	}
	var list []mstrapi.PrincipalRow
	if err == nil && (all || first.Pages() <= len(names.list)) {
		list, err = whole.All(ctx)
	}
	if err != nil {
		if ob.isFatal(ctx, err) {
			return err
		}
		if all {
			ob.mu.Lock()
			ob.listErr[kind] = err
			ob.mu.Unlock()
		}
		return ob.lookUpEach(ctx, names.list)
	}
	if list == nil {
		return ob.lookUpEach(ctx, names.list)
	}
	ob.mu.Lock()
	ob.lists[kind] = list
	ob.mu.Unlock()
	ob.noteTotal(kind, len(list))
	return ob.matchList(ctx, names, list)
}

// matchList finds the names in the whole list, whose rows must then stay where
// they are until everybody is placed.
func (ob *observer) matchList(ctx context.Context, names *lookups, list []mstrapi.PrincipalRow) error {
	blind := false // a row without a login could be anybody
	for i := range list {
		row := &list[i]
		match := func(l *lookup) {
			if l != nil && len(l.rows) == 0 {
				l.rows = list[i : i+1 : i+1]
			} else if l != nil {
				l.rows = append(l.rows, *row)
			}
		}
		if len(names.byID) > 0 {
			match(names.byID[row.ID])
		}
		name := row.Name
		if row.Kind == mstrapi.User {
			blind = blind || row.Login == ""
			name = policy.FoldLogin(row.Login)
		}
		if name != "" {
			match(names.byName[name])
		}
	}
	if blind {
		var open []*lookup
		for _, l := range names.list {
			// A pin's row without a login cannot be compared with the name beside it.
			if l.key.id == "" && len(l.rows) == 0 || l.key.id != "" && len(l.rows) > 0 {
				open = append(open, l)
			}
		}
		return ob.lookUpEach(ctx, open)
	}
	ob.progress.add(len(names.list))
	return nil
}

// lookUpEach asks for each of the list by itself.
func (ob *observer) lookUpEach(ctx context.Context, list []*lookup) error {
	err := ob.each(ctx, len(list), func(ctx context.Context, i int) error {
		defer ob.progress.add(1)
		l := list[i]
		rows, err := ob.lookUp(ctx, l.key, l.text)
		if err != nil && ob.isFatal(ctx, err) {
			return err
		}
		l.rows, l.err = rows, err
		return nil
	})
	if err != nil {
		return err
	}
	return ob.readNear(ctx, list)
}

func (ob *observer) lookUp(ctx context.Context, key principalKey, text string) ([]mstrapi.PrincipalRow, error) {
	if key.id != "" {
		row, err := ob.r.Principal(ctx, key.kind, key.id)
		if err != nil {
			missing, fatal := ob.isGone(ctx, key.kind, key.id, err)
			if missing {
				return nil, nil
			}
			return nil, cmp.Or(fatal, err)
		}
		row.Kind = key.kind
		return []mstrapi.PrincipalRow{row}, nil
	}
	q := mstrapi.Query{NameBegins: text}
	if key.kind == mstrapi.User {
		q = mstrapi.Query{LoginBegins: text}
	}
	list, err := ob.r.List(key.kind, q).All(ctx)
	if err != nil {
		return nil, err
	}
	var rows []mstrapi.PrincipalRow
	for _, row := range list {
		if key.kind == mstrapi.Group {
			if row.Name == key.name {
				rows = append(rows, row)
			}
			continue
		}
		if row.Login == "" {
			full, err := ob.r.Principal(ctx, key.kind, row.ID)
			if err != nil {
				gone, fatal := ob.isGone(ctx, key.kind, row.ID, err)
				if gone {
					ob.noteGone(principalOf(row))
					continue
				}
				return rows, cmp.Or(fatal, err)
			}
			row = full
		}
		if policy.FoldLogin(row.Login) == key.name {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// one returns the row that ref names, or the finding that says why there is
// none.
func (ob *observer) one(ref policy.PrincipalRef) (mstrapi.PrincipalRow, *Finding) {
	l := ob.lookupOf(ref)
	if l.err == nil && len(l.rows) == 1 {
		return l.rows[0], nil
	}
	key := l.key
	who := Principal{Kind: key.kind, ID: key.id, Name: ref.Name}
	if key.kind == mstrapi.User {
		who.Login = ref.Name
	}
	f := &Finding{Severity: SeverityError, Principal: &who, Position: position(ref.Pos)}
	if l.err != nil {
		f.Code = CodeReadFailed
		f.Message = fmt.Sprintf("%s could not be looked up: %v", describeRef(ref), l.err)
		return mstrapi.PrincipalRow{}, f
	}
	if len(l.rows) == 0 {
		f.Code = CodeUnknownPrincipal
		f.Message = fmt.Sprintf("the server has no %s", describeRef(ref))
		if ref.ID == "" && key.kind == mstrapi.User && ob.onlyEveryone() {
			f.Message = fmt.Sprintf("the server gives no list of its users, and %s is not among the members of the group Everyone: if it is a guest or a service account add its id", describeRef(ref))
		}
		if near := ob.suggest(key, ref.Name); near != "" {
			f.Message += fmt.Sprintf("; did you mean %s?", clean.Quote(near))
			if how := policy.Difference(ref.Name, near); how != "" {
				f.Message += " " + how
			}
		}
		return mstrapi.PrincipalRow{}, f
	}
	ids := make([]string, len(l.rows))
	for i, row := range l.rows {
		ids[i] = string(row.ID)
		if row.Tenant != "" {
			ids[i] += fmt.Sprintf(" (tenant %s)", clean.Quote(row.Tenant))
		}
	}
	slices.Sort(ids)
	f.Code = CodeAmbiguousPrincipal
	f.Message = fmt.Sprintf("the server has %d principals that are %s; add the id of the one that is meant: %s",
		len(l.rows), describeRef(ref), strings.Join(firstOf(ids), ", "))
	return mstrapi.PrincipalRow{}, f
}

func describeRef(ref policy.PrincipalRef) string {
	if ref.ID != "" {
		return fmt.Sprintf("%s with the id %s", ref.Kind, strings.ToUpper(ref.ID))
	}
	return fmt.Sprintf("%s %s", ref.Kind, clean.Quote(ref.Name))
}

// suggest returns a name that the server has and that is nearly the one that it
// has not: among all names where these were read anyway, otherwise among those that
// begin alike.
func (ob *observer) suggest(key principalKey, name string) string {
	if key.id != "" {
		return ""
	}
	rows := ob.lists[key.kind]
	if rows == nil {
		rows = ob.lookups[key.kind].find(key).near
	}
	names := make([]string, 0, len(rows))
	for _, row := range rows {
		if key.kind == mstrapi.User {
			names = append(names, row.Login)
		} else {
			names = append(names, row.Name)
		}
	}
	return cmp.Or(policy.LookAlike(name, names), policy.Suggest(name, names))
}

// maxNear bounds how many names that nobody has are compared with the first page of
// those that begin alike.
const maxNear = 10

// readNear reads, for the names in list that nobody has, the names that begin alike.
// What cannot be read suggests nothing.
func (ob *observer) readNear(ctx context.Context, list []*lookup) error {
	var unknown []*lookup
	for _, l := range list {
		if l.err == nil && len(l.rows) == 0 && l.key.id == "" && l.text != "" && len(unknown) < maxNear {
			unknown = append(unknown, l)
		}
	}
	return ob.each(ctx, len(unknown), func(ctx context.Context, i int) error {
		l := unknown[i]
		first := string([]rune(strings.TrimSpace(l.text) + " ")[:1])
		q := mstrapi.Query{NameBegins: first}
		if l.key.kind == mstrapi.User {
			q = mstrapi.Query{LoginBegins: first}
		}
		page, err := ob.r.List(l.key.kind, q).First(ctx)
		if err != nil {
			if ob.isFatal(ctx, err) {
				return err
			}
			return nil
		}
		l.near = page.Rows
		return nil
	})
}

// place records who is covered by which entry.
func (ob *observer) place(ctx context.Context) error {
	st := ob.st
	for i := range ob.pol.Principals {
		e := &ob.pol.Principals[i]
		switch {
		case e.Principal != nil:
			ob.placeExplicit(int32(i), *e.Principal)
		case e.Selector != nil:
			if err := ob.placeSelected(ctx, int32(i), e.Selector); err != nil {
				return err
			}
		}
	}
	ob.markLost()
	if ob.pol.Safety != nil {
		for _, ref := range ob.pol.Safety.Protected {
			row, problem := ob.named(ref)
			if problem != nil {
				ob.tolerate(problem, ob.pol.Defaults.Missing)
				st.findings = append(st.findings, *problem)
				// Whoever it may be stays protected.
				for _, o := range st.covered {
					if problem.Code == CodeReadFailed && mayBe(ref, o) {
						st.protect(o.Principal)
					}
				}
				continue
			}
			st.protect(principalOf(row))
		}
		for _, s := range ob.pol.Safety.ProtectedBy {
			if err := ob.protectChosen(ctx, s); err != nil {
				return err
			}
		}
	}
	for i, r := range ob.pol.Rules {
		for j, x := range r.Except {
			if x.Expired(ob.st.Now) {
				continue
			}
			row, problem := ob.named(x.PrincipalRef)
			if problem != nil {
				ob.tolerate(problem, ob.pol.Defaults.Missing)
				st.findings = append(st.findings, *problem)
				continue
			}
			st.except[[2]int{i, j}] = principalOf(row)
		}
	}
	return ob.placeUnlisted()
}

// markLost makes those unknown who may be meant by an entry that could not be
// looked up, while only selectors are known to cover them: what the policy wants
// of them is not known.
func (ob *observer) markLost() {
	for i, err := range ob.st.failed {
		ref := ob.pol.Principals[i].Principal
		if ref == nil {
			continue
		}
		for _, o := range ob.st.covered {
			if !isExplicit(ob.pol, o.entries) && mayBe(*ref, o) {
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
func (ob *observer) named(ref policy.PrincipalRef) (mstrapi.PrincipalRow, *Finding) {
	row, problem := ob.one(ref)
	if problem == nil {
		if f := checkName(ref, row); f != nil {
			ob.st.findings = append(ob.st.findings, *f)
		}
	}
	return row, problem
}

// checkName compares the name beside a pinned id.
func checkName(ref policy.PrincipalRef, row mstrapi.PrincipalRow) *Finding {
	if ref.ID == "" || ref.Name == "" {
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
		Message: fmt.Sprintf("the id %s belongs to %s, not to %s %s", row.ID, who.label(), ref.Kind, clean.Quote(ref.Name)),
	}
}

func (ob *observer) placeExplicit(entry int32, ref policy.PrincipalRef) {
	st := ob.st
	ob.setApart(ref)
	row, problem := ob.named(ref)
	if problem != nil {
		absent := ob.tolerate(problem, ob.pol.Principals[entry].Settings.Missing)
		st.findings = append(st.findings, *problem)
		if absent {
			if ref.ID == "" {
				st.absentees = append(st.absentees, entry)
			}
			return
		}
		if problem.Code == CodeReadFailed {
			st.failed[int(entry)] = ob.lookupOf(ref).err
			st.lostNames++
		} else {
			st.unresolved[int(entry)] = true
		}
		return
	}
	if o := st.byID[row.ID]; o != nil {
		for _, e := range o.entries {
			if first := ob.pol.Principals[e].Principal; first != nil {
				who := o.Principal
				st.findings = append(st.findings, Finding{
					Code: CodeAmbiguousPrincipal, Severity: SeverityError, Principal: &who, Position: position(ref.Pos),
					Message: fmt.Sprintf("%s has two entries: this one and the one at %s", who.label(), first.Pos),
				})
				st.unresolved[int(entry)] = true
				return
			}
		}
	}
	st.byEntry[entry] = ob.cover(entry, row)
}

// cover records that an entry covers a principal.
func (ob *observer) cover(entry int32, row mstrapi.PrincipalRow) *Observed {
	st := ob.st
	o := st.byID[row.ID]
	if o == nil {
		o = &Observed{Principal: principalOf(row), Enabled: row.Enabled}
		st.byID[row.ID] = o
		ob.noteParents(o, row.Memberships)
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
func (ob *observer) placeUnlisted() error {
	st := ob.st
	ob.noteEveryone()
	asked := ob.pol.Unlisted == policy.UnlistedReport || ob.pol.Unlisted == policy.UnlistedRevoke
	if !asked && !ob.judgesEverybody() && !ob.st.everybody {
		return nil
	}
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		if err := ob.listErr[kind]; err != nil {
			what := "what is unlisted"
			switch {
			case asked:
			case ob.judgesEverybody():
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
	st.unscanned = asked && len(ob.listErr) > 0
	certain := asked && !st.unscanned && !ob.unprotected && len(st.failed) == 0 && len(st.unresolved) == 0
	if !certain && !ob.judgesEverybody() && !ob.st.everybody {
		return nil
	}
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		for _, row := range ob.lists[kind] {
			o := st.byID[row.ID]
			if o == nil {
				o = &Observed{Principal: principalOf(row), Enabled: row.Enabled, scanned: certain}
				ob.noteParents(o, row.Memberships)
				st.byID[row.ID] = o
				if certain {
					st.unlisted = append(st.unlisted, o)
				} else {
					st.strangers = append(st.strangers, o)
				}
			}
			if ob.judgesEverybody() {
				st.reached[row.ID] = true
			}
		}
	}
	return nil
}

// setApart takes out of what the server has for a name without an id those that
// other entries pin: where one is left, it is the one that is meant.
func (ob *observer) setApart(ref policy.PrincipalRef) {
	l := ob.lookupOf(ref)
	if ref.ID != "" || l.err != nil || len(l.rows) < 2 {
		return
	}
	rest := slices.DeleteFunc(slices.Clone(l.rows), func(row mstrapi.PrincipalRow) bool {
		return slices.ContainsFunc(ob.pol.Principals, func(e policy.Entry) bool {
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
func (ob *observer) tolerate(problem *Finding, missing policy.Missing) bool {
	if problem.Code != CodeUnknownPrincipal || missing != policy.MissingReport {
		return false
	}
	problem.Severity = SeverityWarning
	ob.st.absent = true
	return true
}

// everyoneReader is a reader that lists the members of the group Everyone where
// the server gives no list of users, and tells: [*mstrapi.Reader].
type everyoneReader interface {
	OnlyEveryone() bool
}

// onlyEveryone reports whether a list of users was one of the members of Everyone.
func (ob *observer) onlyEveryone() bool {
	r, ok := ob.r.(everyoneReader)
	return ok && r.OnlyEveryone()
}

// noteEveryone notes what onlyEveryone reports.
func (ob *observer) noteEveryone() {
	ob.st.onlyEveryone = ob.st.onlyEveryone || ob.onlyEveryone()
}
