package planner

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"privsync/mstrapi"
)

// State is what [Observe] read: the facts that [Make] decides from. It does not
// change after Observe has returned it, but for [State.Trim], and may then be
// read concurrently. The zero value is a server about which nothing is known.
type State struct {
	Environment Environment
	Actor       Actor
	Level       mstrapi.Level       // the scope that was read
	Now         time.Time           // the moment that expiry is judged at
	Catalogue   []mstrapi.Privilege // by number
	odd         []mstrapi.OddPrivilege

	byID      map[mstrapi.ObjectID]*Observed
	covered   []*Observed // in report order
	unscanned bool        // who is unlisted is not known: a list could not be read, or who is protected
	unlisted  []*Observed // scanned for unlisted: report or revoke, in report order
	users     []mstrapi.PrincipalRow
	refs      groupTable

	parents      map[mstrapi.ObjectID]parentList // of groups
	members      map[mstrapi.ObjectID]*memberList
	judging      Judging
	licences     *LicenceInput                               // nil: they are not counted
	memberRows   map[mstrapi.ObjectID][]mstrapi.PrincipalRow // of groups, for licences; nil: could not be read
	apart        map[mstrapi.ObjectID]bool                   // users for whom the server counts no licences; nil: licences are not counted
	apartErr     error                                       // who the service accounts are could not be read
	known        map[mstrapi.Kind]int                        // how many the server has, where it tells
	reached      map[mstrapi.ObjectID]bool                   // whom rules judge although no entry covers them: users below a changed group, or everybody
	strangers    []*Observed                                 // those among reached that are neither covered nor unlisted, in report order
	expanded     map[mstrapi.ObjectID]bool                   // groups whose users are among reached
	usersRead    bool                                        // users holds every user; read for require rules only
	usersErr     error
	traced       int // users whose memberships were read
	findings     []Finding
	byEntry      []*Observed   // by entry of the policy: whom an explicit one names
	failed       map[int]error // entries of the policy that could not be resolved completely
	unresolved   map[int]bool  // entries of the policy that name nobody, or more than one
	lostNames    int           // explicit entries among failed: principals that count as unknown
	protected    []Principal
	isProtected  map[mstrapi.ObjectID]bool      // the same by id
	work         work                           // what the session's user works with
	except       map[[2]int]Principal           // of rules, by the numbers of the rule and of the exception
	gone         map[mstrapi.ObjectID]Principal // whom the server named and does not have
	absent       bool                           // somebody that the policy names is not there, and that is only reported
	absentees    []int32                        // entries of the policy that name somebody by a name that nobody has
	vacant       []int32                        // entries of the policy that choose members of a group that is not there
	everybody    bool                           // everybody on the server was to be read
	onlyEveryone bool                           // a list of users was that of the members of Everyone
	past         Past                           // what earlier runs did
	pastHeld     []PastGrant                    // of past.Granted: what nobody else is read for and still holds
	pastLeft     int                            // how many of past.Granted were not looked at
	trimmed      bool                           // see Trim: nothing can be decided from it any more
}

// Trim forgets what only planning needs: everybody whom the policy does not
// cover, and who belongs where. A state that outlives its plan, for
// [State.Principals] and [State.Held], becomes much smaller that way. From a
// trimmed state [Make] makes an incomplete plan without changes. Trim must not be
// called while the state is read.
func (s *State) Trim() {
	*s = State{
		Environment: s.Environment, Actor: s.Actor, Level: s.Level, Now: s.Now, Catalogue: s.Catalogue, odd: s.odd,
		covered: slices.Clip(s.covered), refs: s.refs, trimmed: true,
	}
}

// Observed is one principal as it was read. Only the principals for which
// Covered is true are the policy's own; others are there because the projection
// or a rule needed them.
type Observed struct {
	Principal Principal
	Enabled   mstrapi.Tri // Unknown for groups, and for users whose rows do not tell
	Covered   bool
	Direct    Set
	Inherited Set
	At        time.Time // when it was read
	Err       error     // not nil: it could not be read completely, and the sets mean nothing

	gone    bool     // it does not exist any more
	asked   bool     // whether it is enabled was asked for itself
	scanned bool     // no entry covers it; it was looked at because of unlisted
	beyond  beyond   // what it holds outside the scope
	held    *profile // where the inherited privileges come from; nil until read
	entries []int32  // indexes of the policy's entries that cover it, ascending
	parents parentList
}

// elsewhere returns what o holds from security roles and from sources that are
// none the client knows. It is held in one project, as far as anybody knows, so
// it is never inherited: it satisfies nothing and replaces nothing.
func (o *Observed) elsewhere() Set {
	if o.held == nil {
		return Set{}
	}
	return o.held.elsewhere
}

// effective returns all that o holds, be it in one project only.
func (o *Observed) effective() Set { return o.Direct.Union(o.Inherited).Union(o.elsewhere()) }

// parentList are the direct parent groups of a principal, as far as they were
// read.
type parentList struct {
	known bool
	err   error
	ids   []mstrapi.ObjectID
}

// memberList is what is known about the users below a group, at any depth.
type memberList struct {
	err      error
	count    int
	complete bool    // keys holds every one of them
	left     int     // pages that are still to be read
	unsteady bool    // the pages that are left could not be read
	keys     []idKey // sorted
}

// idKey is an object id in 16 bytes.
type idKey [16]byte

func keyOf(id mstrapi.ObjectID) idKey {
	var k idKey
	if len(id) != 2*len(k) {
		copy(k[:], id)
		return k
	}
	if _, err := hex.Decode(k[:], []byte(id)); err != nil {
		copy(k[:], id)
	}
	return k
}

func (m *memberList) has(id mstrapi.ObjectID) bool {
	_, found := slices.BinarySearchFunc(m.keys, keyOf(id), func(a, b idKey) int { return slices.Compare(a[:], b[:]) })
	return found
}

// Principals yields the principals that the policy covers in report order:
// groups before users, then by display name, then by id.
func (s *State) Principals() iter.Seq[*Observed] { return slices.Values(s.covered) }

// Everybody yields everybody who was read for [ObserveOptions.Everybody], groups before
// users and so on within each: those whom the policy covers, and then the others.
// Nobody if that was not asked for.
func (s *State) Everybody() iter.Seq[*Observed] {
	if !s.everybody {
		return slices.Values([]*Observed(nil))
	}
	return s.all()
}

// all yields everybody who was asked for: those whom the policy covers, those whom no
// entry covers, and those whom a rule judges all the same.
func (s *State) all() iter.Seq[*Observed] {
	return func(yield func(*Observed) bool) {
		for _, list := range [][]*Observed{s.covered, s.unlisted, s.strangers} {
			for _, o := range list {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// Lookup returns what was read of the principal with the id, or nil; nil after
// [State.Trim], too.
func (s *State) Lookup(id mstrapi.ObjectID) *Observed { return s.byID[id] }

// Entries returns the indexes of the policy's entries that cover o, ascending.
func (s *State) Entries(o *Observed) []int {
	out := make([]int, len(o.entries))
	for i, e := range o.entries {
		out[i] = int(e)
	}
	return out
}

// Held yields every privilege in scope that o holds, by number, with the groups
// that the server named as its sources, sorted by name and id.
func (s *State) Held(o *Observed) iter.Seq[mstrapi.Held] {
	return func(yield func(mstrapi.Held) bool) {
		for p := range o.effective().All() {
			h := mstrapi.Held{ID: p, Direct: o.Direct.Has(p), Level: s.levelOf(p)}
			if o.held != nil {
				h.Groups = s.groupsOf(o.held, p)
				others := o.held.others[p]
				h.Roles, h.Other = others.roles, others.other
			}
			if !yield(h) {
				return
			}
		}
	}
}

// groupsOf returns the groups that the server names as sources of p, sorted by name and
// id.
func (s *State) groupsOf(f *profile, p mstrapi.PrivilegeID) (groups []mstrapi.ObjectRef) {
	for _, i := range f.sources(p).groups() {
		groups = append(groups, s.refs.list[i])
	}
	slices.SortFunc(groups, compareRefs)
	return groups
}

// existing returns how many users or groups there are, where the server tells.
func (s *State) existing(kind mstrapi.Kind) (n int, known bool) {
	n, known = s.known[kind]
	for _, who := range s.gone {
		if who.Kind == kind {
			n--
		}
	}
	return n, known
}

func (s *State) levelOf(p mstrapi.PrivilegeID) mstrapi.Level {
	i, ok := slices.BinarySearchFunc(s.Catalogue, p, func(c mstrapi.Privilege, p mstrapi.PrivilegeID) int { return cmp.Compare(c.ID, p) })
	if !ok {
		return ""
	}
	return s.Catalogue[i].Level()
}

// groupName returns the best known display name of a group.
func (s *State) groupName(id mstrapi.ObjectID) string {
	if o := s.byID[id]; o != nil && o.Principal.Name != "" {
		return o.Principal.Name
	}
	if i, ok := s.refs.index[id]; ok {
		return s.refs.list[i].Name
	}
	return string(id)
}

func compareRefs(a, b mstrapi.ObjectRef) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

// refsOf returns the groups by name and id.
func refsOf(groups []*Observed) (refs []mstrapi.ObjectRef) {
	for _, g := range groups {
		refs = append(refs, mstrapi.ObjectRef{ID: g.Principal.ID, Name: g.Principal.Name})
	}
	slices.SortFunc(refs, compareRefs)
	return refs
}

func compareObserved(a, b *Observed) int { return a.Principal.Compare(&b.Principal) }

// groupTable numbers the groups that sources and parents name.
type groupTable struct {
	index map[mstrapi.ObjectID]int
	list  []mstrapi.ObjectRef
}

func (t *groupTable) number(ref mstrapi.ObjectRef) int {
	if i, ok := t.index[ref.ID]; ok {
		// The smallest name wins, so that the order of answers does not show.
		if ref.Name != "" && (t.list[i].Name == "" || ref.Name < t.list[i].Name) {
			t.list[i].Name = strings.Clone(ref.Name)
		}
		return i
	}
	if t.index == nil {
		t.index = make(map[mstrapi.ObjectID]int)
	}
	ref.ID, ref.Name = mstrapi.ObjectID(strings.Clone(string(ref.ID))), strings.Clone(ref.Name)
	t.index[ref.ID] = len(t.list)
	t.list = append(t.list, ref)
	return len(t.list) - 1
}

// profile is where the inherited privileges of a principal come from. Users in
// the same groups share one, which is what keeps 100,000 of them small: code
// holds, per privilege, its number, how many groups follow and their numbers in
// the [groupTable]. The sources that are no groups, which few privileges have,
// stand in others.
type profile struct {
	inherited Set
	elsewhere Set
	code      string
	others    map[mstrapi.PrivilegeID]otherSources
	settled   bool // see settleRoles
}

func (f *profile) setOthers(q mstrapi.PrivilegeID, others otherSources) {
	if f.others == nil {
		f.others = make(map[mstrapi.PrivilegeID]otherSources)
	}
	f.others[q] = others
}

// otherSources are the sources of one privilege that are no groups.
type otherSources struct {
	roles []mstrapi.RoleRef
	other bool // one that the client does not know
}

// sources returns the groups that p comes from.
func (f *profile) sources(p mstrapi.PrivilegeID) sourceCode {
	for id, from := range f.all() {
		if id == p {
			return from
		}
	}
	return sourceCode{}
}

// sourceCode is the encoded list of the groups that one privilege comes from.
type sourceCode struct {
	count int
	code  string
}

func (c sourceCode) groups() []int {
	out := make([]int, 0, c.count)
	rest := c.code
	for range c.count {
		var v uint64
		v, rest = uvarint(rest)
		out = append(out, int(v))
	}
	return out
}

func (f *profile) all() iter.Seq2[mstrapi.PrivilegeID, sourceCode] {
	return func(yield func(mstrapi.PrivilegeID, sourceCode) bool) {
		for rest := f.code; rest != ""; {
			var id, count uint64
			id, rest = uvarint(rest)
			count, rest = uvarint(rest)
			c := sourceCode{count: int(count), code: rest}
			if !yield(mstrapi.PrivilegeID(id), c) {
				return
			}
			for range c.count {
				_, rest = uvarint(rest)
			}
		}
	}
}

// uvarint is binary.Uvarint for strings.
func uvarint(s string) (uint64, string) {
	var v uint64
	for i := 0; i < len(s); i++ {
		v |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return v, s[i+1:]
		}
	}
	return v, ""
}

// interner makes principals that hold the same share the memory that says so.
// It is used while a state is read, by several workers at once.
type interner struct {
	mu       sync.Mutex
	refs     *groupTable
	profiles map[string]*profile
	sets     map[string]Set
	buf      []byte
	idx      []int
}

func newInterner(refs *groupTable) *interner {
	return &interner{refs: refs, profiles: make(map[string]*profile), sets: make(map[string]Set)}
}

// put stores an observation in o and keeps none of its memory.
func (in *interner) put(o *Observed, seen Observation) {
	in.mu.Lock()
	defer in.mu.Unlock()
	o.held = in.profile(seen)
	o.Inherited, o.Direct, o.At = o.held.inherited, in.set(seen.Direct), seen.At
	if len(seen.beyond) == 0 {
		return
	}
	far := setsOf(plain(seen.beyond, mstrapi.LevelAll))
	o.beyond = beyond{in.set(far.Direct), in.profile(far)}
}

// profile returns where the inherited privileges of an observation come from. in.mu
// must be held.
func (in *interner) profile(seen Observation) *profile {
	buf := in.buf[:0]
	for i := range seen.Held {
		h := &seen.Held[i]
		if !h.Inherited() {
			continue
		}
		idx := in.idx[:0]
		for _, g := range h.Groups {
			idx = append(idx, in.refs.number(g))
		}
		if len(idx) > 1 {
			slices.Sort(idx)
			idx = slices.Compact(idx)
		}
		in.idx = idx
		buf = binary.AppendUvarint(buf, uint64(h.ID))
		buf = binary.AppendUvarint(buf, uint64(len(idx)))
		for _, i := range idx {
			buf = binary.AppendUvarint(buf, uint64(i))
		}
	}
	code := len(buf)
	elsewhere := seen.elsewhere()
	if !elsewhere.IsEmpty() {
		buf = append(buf, 0) // no privilege has this number
	}
	for q := range elsewhere.All() {
		buf = appendOthers(buf, &seen.Held[slices.IndexFunc(seen.Held, func(h mstrapi.Held) bool { return h.ID == q })])
	}
	in.buf = buf
	prof := in.profiles[string(buf)]
	if prof == nil {
		prof = &profile{inherited: in.set(seen.Inherited), elsewhere: in.set(elsewhere), code: string(buf[:code])}
		for i := range seen.Held {
			if h := &seen.Held[i]; h.Elsewhere() {
				prof.setOthers(h.ID, otherSources{cloneRoles(h.Roles), h.Other})
			}
		}
		in.profiles[string(buf)] = prof
	}
	return prof
}

// appendOthers appends what tells the sources of h that are no groups from
// those of others.
func appendOthers(b []byte, h *mstrapi.Held) []byte {
	b = binary.AppendUvarint(b, uint64(h.ID))
	b = strconv.AppendBool(b, h.Other)
	for _, r := range h.Roles {
		for _, ref := range []mstrapi.ObjectRef{r.Role, r.Project} {
			b = strconv.AppendQuote(append(b, ref.ID...), ref.Name)
		}
	}
	return b
}

// cloneRoles copies roles out of memory that is used again, sorted by name, role
// and project.
func cloneRoles(roles []mstrapi.RoleRef) []mstrapi.RoleRef {
	out := slices.Clone(roles)
	for i := range out {
		for _, ref := range []*mstrapi.ObjectRef{&out[i].Role, &out[i].Project} {
			ref.ID, ref.Name = mstrapi.ObjectID(strings.Clone(string(ref.ID))), strings.Clone(ref.Name)
		}
	}
	slices.SortFunc(out, func(a, b mstrapi.RoleRef) int {
		return cmp.Or(compareRefs(a.Role, b.Role), compareRefs(a.Project, b.Project))
	})
	return slices.Compact(out)
}

func (in *interner) set(s Set) Set {
	s = s.trimmed()
	var key [32 * 8]byte
	k := key[:0]
	for _, w := range s.words {
		k = binary.LittleEndian.AppendUint64(k, w)
	}
	if known, ok := in.sets[string(k)]; ok {
		return known
	}
	s = s.clone()
	in.sets[string(k)] = s
	return s
}
