package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"privsync/clean"
)

// Position is a place in a policy file. Line and Column count from 1; the zero
// value means "nowhere in a file" (a default, or a plan made without one).
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String returns file:line:column.
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Kind is the kind of a principal: "user" or "group".
type Kind string

const (
	User  Kind = "user"
	Group Kind = "group"
)

// Level is the scope of a policy. The zero value is not valid: Load sets LevelServer.
type Level string

const (
	LevelServer  Level = "server"
	LevelProject Level = "project"
	LevelAll     Level = "all"
)

// Mode says what happens to direct grants that the policy does not list.
type Mode string

const (
	Additive      Mode = "additive"      // left alone
	Authoritative Mode = "authoritative" // revoked
)

// SatisfiedBy says what satisfies a listed privilege.
type SatisfiedBy string

const (
	Effective SatisfiedBy = "effective" // direct or inherited
	Direct    SatisfiedBy = "direct"    // only a direct grant
)

// Redundant says what happens to a listed direct grant that is inherited as well.
type Redundant string

const (
	RedundantKeep   Redundant = "keep"
	RedundantRevoke Redundant = "revoke"
)

// Inherited says what happens to an inherited privilege that is not listed.
type Inherited string

const (
	InheritedAllow  Inherited = "allow"
	InheritedReport Inherited = "report"
)

// Missing says what an entry does whose principal the server does not have.
type Missing string

const (
	MissingBlock  Missing = "block"  // nothing is applied
	MissingReport Missing = "report" // it is told, and the rest is done
)

// Settings are the settings that an entry may have and that defaults give.
// In an [Entry] and in [Policy.Defaults] after Load no field is empty.
type Settings struct {
	Mode        Mode
	SatisfiedBy SatisfiedBy
	Redundant   Redundant
	Inherited   Inherited
	Missing     Missing
}

// Ref names a privilege as the policy writes it: ID when the scalar's own text
// is all decimal digits, otherwise Name. Exactly one of the two is set.
type Ref struct {
	ID   int
	Name string
	Pos  Position
}

// String returns the id or the name as the policy writes it.
func (r Ref) String() string {
	if r.ID != 0 {
		return fmt.Sprint(r.ID)
	}
	return r.Name
}

// Listed is a privilege that an entry lists, from its own list or from a set, or
// that it forbids. Set names the set it came from, empty for the entry's own list.
//
// Its terms are its own and those of what it stands in: the inclusion of its set, and
// the entry. The earliest last day counts; the reason is its own or, without one, that
// of the nearest that has one.
type Listed struct {
	Ref
	Terms
	Set string
}

// Terms say how long something in a policy counts, and why it is there.
type Terms struct {
	// Until is midnight UTC of the last day that counts; the zero Time: it does not end.
	Until       time.Time
	Reason      string
	Description string
	// Ends is where Until stands, if that is not the item itself but an entry or the
	// inclusion of a set that the item stands in.
	Ends Position
}

// Expired reports whether the last day that counts is over at now.
func (t Terms) Expired(now time.Time) bool {
	return !t.Until.IsZero() && !now.Before(t.Until.AddDate(0, 0, 1))
}

// within returns the terms of what has t and stands at pos, in something with the
// terms outer.
func (t Terms) within(outer Terms, pos Position) Terms {
	if !outer.Until.IsZero() && (t.Until.IsZero() || outer.Until.Before(t.Until)) {
		t.Until, t.Ends = outer.Until, outer.Ends
		if t.Ends == (Position{}) {
			t.Ends = pos
		}
	}
	t.Reason = cmp.Or(t.Reason, outer.Reason)
	return t
}

// PrincipalRef names one principal: by id if ID is set (then Name is checked),
// otherwise by Name (a user's login, a group's name).
type PrincipalRef struct {
	Kind Kind
	Name string
	ID   string // 32 upper-case hex digits, or empty
	Pos  Position
}

// Entry is one item of principals. Either Principal is set or Selector is.
// Listed holds the privileges of the sets, flattened, and own ones; Listed and
// Forbid may both be empty only where the policy says `privileges: []`.
//
// Settings are complete; Stated has only those that the entry itself gives, its
// other fields are empty.
type Entry struct {
	Principal *PrincipalRef
	Selector  *Selector
	Settings  Settings
	Stated    Settings
	Listed    List
	Forbid    []Listed
	Terms     Terms // its own, which those of Listed and Forbid contain already
	Pos       Position
}

// Excepted is whom a selector passes over, until the last day is over, although they
// meet its conditions. Exactly one of Principal and Selector is set.
type Excepted struct {
	Principal *PrincipalRef // a group means it and its members at any depth
	Selector  *Selector     // has no exceptions of its own
	Terms
	Pos Position
}

// Environment is the optional section that says where the server is. Empty
// fields were not given. Flags and variables override it. URLPos is where the URL
// stands; its line is 0 where the document has none to tell.
type Environment struct {
	URL       string
	LoginMode string // standard, ldap or apiToken
	URLPos    Position
}

// Limit is a number, or a percent. The zero value is the limit 0.
type Limit struct {
	Number  int
	Percent bool // Number is a percent, 0 to 100
	Pos     Position
}

// String returns the limit as the policy writes it: 25 or 10%.
func (l Limit) String() string {
	if l.Percent {
		return fmt.Sprintf("%d%%", l.Number)
	}
	return fmt.Sprint(l.Number)
}

// ParseLimit reads what [Limit.String] writes.
func ParseLimit(s string) (Limit, error) {
	digits, percent := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || n < 0 || digits != strconv.Itoa(n):
		return Limit{}, fmt.Errorf("%s is neither a whole number nor a percent like 10%%", clean.Quote(s))
	case percent && n > 100:
		return Limit{}, fmt.Errorf("%s is more than 100%%", clean.Quote(s))
	}
	return Limit{Number: n, Percent: percent}, nil
}

// Safety holds the guards that the policy asks for. A nil limit does not limit.
type Safety struct {
	MaxRevokes           *Limit
	MaxChangedPrincipals *Limit // never a percent
	Protected            []PrincipalRef
	ProtectedBy          []*Selector    // whoever these choose is protected as well
	OwnPrivileges        []Ref          // that the session's user works with; nil: known by their names
	Licences             []LicenceLimit // how many users may consume which product
	Approval             *Approval
	ServerLock           bool  // an apply takes the server's own lock
	Administrative       []Ref // that reviewers are to see first; nil: known by their names
}

// Names returns the privileges that s, which may be nil, names. They may lie outside the
// scope, and their names may differ in case from those of the server.
func (s *Safety) Names() []Ref {
	if s == nil {
		return nil
	}
	names := slices.Concat(s.OwnPrivileges, s.Administrative)
	if s.Approval != nil && s.Approval.Above != nil {
		names = append(names, s.Approval.Above.GrantsOf...)
	}
	return names
}

// MaxApprovals is how many people a policy may want to approve a plan.
const MaxApprovals = 100

// Approval says how many people must have signed a plan before it is applied. Who
// they may be is never said by the policy.
type Approval struct {
	Required int
	Above    *ApprovalAbove // nil: every plan that changes something
	Pos      Position
}

// ApprovalAbove says which plans need approval: those with more revokes than Revokes,
// or that grant one of GrantsOf. At least one is given.
type ApprovalAbove struct {
	Revokes  *Limit // never a percent
	GrantsOf []Ref
}

// Unlisted says what happens to principals that no entry covers.
type Unlisted string

const (
	UnlistedIgnore Unlisted = "ignore"
	UnlistedReport Unlisted = "report"
	UnlistedRevoke Unlisted = "revoke"
)

// RuleSeverity is "error" or "warning".
type RuleSeverity string

const (
	RuleError   RuleSeverity = "error"
	RuleWarning RuleSeverity = "warning"
)

// Exception is a principal that a rule does not judge until its last day is over. A
// group means it and its members at any depth.
type Exception struct {
	PrincipalRef
	Terms
}

// Rule judges the projected effective state. Exactly one of Deny, Conflict and
// Require is non-empty.
type Rule struct {
	Name     string
	Severity RuleSeverity
	Deny     []Ref // nobody holds any of these
	Except   []Exception
	Conflict []Ref // nobody holds two of these
	Require  []Ref // at least AtLeast enabled users hold each of these
	AtLeast  int
	Pos      Position
}

// Prerequisite says that the server does not let anybody have Privilege without
// each of Needs: it grants these along, and revokes Privilege along with any of
// them.
type Prerequisite struct {
	Privilege Ref
	Needs     []Ref
	Pos       Position
}

// Command is a metadata command that is run at the end of every apply.
type Command struct {
	Name string // assign-watch-kpi-insight
	Pos  Position
}

// File is one file that the policy was read from, in the order of reading.
type File struct {
	Path   string `json:"path"`
	Digest string `json:"digest"` // sha256:HEX of its bytes
}

// Nothing returns the policy of a level that wants nothing of anybody.
func Nothing(scope Level) *Policy {
	return &Policy{Scope: scope, Defaults: defaultsSection{}.settings(), Unlisted: UnlistedIgnore}
}

// Policy is a validated policy. It is immutable after Load and may be read
// concurrently.
type Policy struct {
	Name                string // metadata.name
	Owner               string
	Description         string
	Scope               Level
	Environment         Environment
	Defaults            Settings
	Safety              *Safety      // nil: no safety section
	Licences            *LicenceFile // nil: no licences section
	Principals          []Entry
	Unlisted            Unlisted
	UnlistedPos         Position // zero: it is not given
	ExpiringWithinDays  int      // default 14: how long before its end an entry gives expiring-soon
	Rules               []Rule
	Prerequisites       []Prerequisite // as written: not closed transitively
	Commands            []Command
	Files               []File
	Digest              string   // sha256:HEX over all files
	Warnings            Problems // what is valid and probably not meant, or not read; nil for nothing
	EnvironmentSelected string   // the --env NAME in force, empty for none
	EnvironmentName     string   // that, or metadata.environment; empty: it has no name

	// BaseDigest is sha256:HEX over what the files say whatever the environment: without
	// overlays, environment sections and metadata.environment, and without comments.
	BaseDigest string
}
