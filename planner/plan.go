package planner

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"privsync/mstrapi"
	"privsync/policy"
)

// PlanFormat is the value of format in every plan that this version writes,
// and the only one that it reads.
const PlanFormat = "privsync/plan/v1"

// Plan is the dry run: what would have to change so that the server matches the
// policy. It is a value: sorted, serialisable, without code and without text
// for display. Its JSON form is described by schema/plan.schema.json.
//
// Changes and Findings are sorted: groups before users, then by display name in
// byte order, then by id; privileges by number.
type Plan struct {
	Format      string      `json:"format"`
	Tool        Tool        `json:"tool"`
	CreatedAt   time.Time   `json:"createdAt"`
	ExpiresAt   time.Time   `json:"expiresAt"`
	Environment Environment `json:"environment"`
	Actor       Actor       `json:"actor"`
	// Maker is who made the plan and must not approve it: names of one person,
	// separated by commas; empty where it is not known.
	Maker    string       `json:"maker,omitempty"`
	Source   *Provenance  `json:"source,omitempty"` // nil: it is not known
	Policy   PolicyRef    `json:"policy"`
	Scope    Scope        `json:"scope"`
	Safety   Safety       `json:"safety"`
	Complete bool         `json:"complete"` // false: a principal could not be read completely
	Coverage Coverage     `json:"coverage"`
	Rules    []RuleResult `json:"rules"` // in the order of the policy; none where nothing could be judged
	Summary  Summary      `json:"summary"`
	Licences *Licences    `json:"licences,omitempty"` // nil: nobody asked what the plan costs
	Changes  []Change     `json:"changes" document:"lines"`
	Findings []Finding    `json:"findings"`
	Commands []string     `json:"commands"`
	// Prerequisites are what the policy says that the server does by itself.
	Prerequisites []Prerequisite `json:"prerequisites,omitempty"`
	Watch         []Watch        `json:"watch,omitempty"` // in the order of the first principal of each
	Digest        string         `json:"digest"`          // see [Plan.Seal]

	unchanged map[mstrapi.ObjectID]*Wanted // see Unchanged
	undecided map[mstrapi.ObjectID]string  // see Undecided

	exceptions []Exception // see Exceptions
}

// Tool names the program that wrote a document.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Environment is the server that was observed. Versions are empty where the
// server does not tell them.
type Environment struct {
	URL            string `json:"url"`
	IServerVersion string `json:"iServerVersion"`
	WebVersion     string `json:"webVersion"`
}

// Actor is the user whose session observed or changed the server.
type Actor struct {
	ID   mstrapi.ObjectID `json:"id"`
	Name string           `json:"name"`
}

// PolicyRef names the policy that was in force. Environment is the --env NAME
// that selected its overlays, empty for none. InForce is what it came to; nil in
// a document that does not say.
type PolicyRef struct {
	Name        string        `json:"name"`
	Environment string        `json:"environment,omitempty"`
	Digest      string        `json:"digest"`
	BaseDigest  string        `json:"baseDigest,omitempty"` // without what differs by environment; empty: a document that does not say
	Files       []policy.File `json:"files"`
	InForce     *InForce      `json:"inForce,omitempty"`
}

// Scope is the level of the privileges that the plan may touch.
type Scope struct {
	Level mstrapi.Level `json:"level"`
}

// Safety holds what the guards need, so that a saved plan can be judged without
// the policy. A limit that is empty does not limit. ActorLoses are the
// privileges that the session's user needs and would lose. Where it is not known
// which ones it needs, ActorRisks are that user and the groups above it, as far
// as the plan revokes anything from them.
type Safety struct {
	ObservedDirect       int            `json:"observedDirect"`                 // direct grants in scope of all covered principals
	MaxRevokes           string         `json:"maxRevokes,omitempty"`           // "25" or "10%"
	MaxChangedPrincipals string         `json:"maxChangedPrincipals,omitempty"` // "200"
	Protected            []Principal    `json:"protected"`
	Licences             []LicenceLimit `json:"licences,omitempty"`
	ActorLoses           []PrivilegeRef `json:"actorLoses"`
	ActorRisks           []Principal    `json:"actorRisks,omitempty"`
	Approval             *Approval      `json:"approval,omitempty"` // nil: the policy wants none
	ServerLock           bool           `json:"serverLock,omitempty"`
}

// Summary counts. Principals = InSync + Changed + Unknown.
type Summary struct {
	Principals int           `json:"principals"`
	InSync     int           `json:"inSync"`
	Changed    int           `json:"changed"`
	Grants     int           `json:"grants"`
	Revokes    int           `json:"revokes"`
	Unknown    int           `json:"unknown"`
	Findings   FindingCounts `json:"findings"`
	// Impact is what the whole plan comes to: the users that any change reaches, once
	// each. Where not all members of a large group were read it is the most that they
	// can be. nil where nobody worked it out, and without changes.
	Impact *Impact `json:"impact,omitempty"`
}

// FindingCounts counts findings by severity.
type FindingCounts struct {
	Error   int `json:"error"`
	Warning int `json:"warning"`
	Info    int `json:"info"`
}

// Principal is a user or a group of the server. Login is empty for groups.
// ID is empty for one that the policy names and the server does not know. Tenant is
// asked for where entries of a policy share a name; empty: nobody asked, or the server
// tells none.
type Principal struct {
	Kind   mstrapi.Kind     `json:"kind"`
	ID     mstrapi.ObjectID `json:"id"`
	Name   string           `json:"name"`
	Login  string           `json:"login,omitempty"`
	Tenant string           `json:"tenant,omitempty"`
}

// Compare is the order of plans and reports: groups before users, then names
// byte by byte, then ids.
func (p *Principal) Compare(q *Principal) int {
	if p.Kind != q.Kind && (p.Kind == mstrapi.Group || q.Kind == mstrapi.Group) {
		if p.Kind == mstrapi.Group {
			return -1
		}
		return 1
	}
	if c := strings.Compare(p.Name, q.Name); c != 0 {
		return c
	}
	return cmp.Compare(p.ID, q.ID)
}

// PrivilegeRef is a privilege by number and catalogue name. Name is empty for a
// number that the catalogue does not have.
type PrivilegeRef struct {
	ID   mstrapi.PrivilegeID `json:"id"`
	Name string              `json:"name"`
}

// Reason says why a privilege is granted or revoked. It explains; it never
// drives the apply.
type Reason string

const (
	ReasonListed    Reason = "listed"     // grant: the policy lists it
	ReasonNotListed Reason = "not-listed" // revoke: authoritative, not listed
	ReasonForbidden Reason = "forbidden"  // revoke: the policy forbids it
	ReasonExpired   Reason = "expired"    // revoke: its entry's last day is over
	ReasonRedundant Reason = "redundant"  // revoke: inherited as well
	ReasonDependent Reason = "dependent"  // revoke: the server takes it along with another one
	ReasonUnlisted  Reason = "unlisted"   // revoke: no entry covers the principal
	ReasonRollback  Reason = "rollback"   // grant or revoke: undoes a report
)

// PlannedPrivilege is one privilege to grant or to revoke.
//
// ReliesOn (revokes only) lists the principals whose grant of the same
// privilege in this plan must be verified first: until then, somebody who holds
// the privilege now and is meant to keep it would lose it. If one of those
// grants is not verified the revoke is held back.
type PlannedPrivilege struct {
	PrivilegeRef
	Reason   Reason             `json:"reason"`
	ReliesOn []mstrapi.ObjectID `json:"reliesOn,omitempty"`
	// Until, Ticket and Origin are what the policy says of it, for who reads the plan:
	// the last day in UTC (2006-01-02) that it is listed or forbidden, the reason that
	// stands with it, and where. Empty: nothing. They are text that nobody checked.
	Until  string  `json:"until,omitempty"`
	Ticket string  `json:"ticket,omitempty"`
	Origin *Origin `json:"origin,omitempty"`
	// Because is what the first documents called Ticket; see [Adopt].
	Because string `json:"because,omitempty"`
	// Administrative: see [Plan.MarkAdministrative].
	Administrative bool `json:"administrative,omitempty"`
	// Impact (changes of groups only) is whom this one privilege reaches.
	Impact *Impact `json:"impact,omitempty"`
}

// Change is what one principal needs. Grant and Revoke are sorted by number and
// disjoint; at least one is not empty.
type Change struct {
	Principal Principal          `json:"principal"`
	Grant     []PlannedPrivilege `json:"grant"`
	Revoke    []PlannedPrivilege `json:"revoke"`
	Observed  ObservedSets       `json:"observed"`
	Impact    Impact             `json:"impact"`
	// Wanted is what the principal is judged by once it is written; nil: by Grant
	// and Revoke alone.
	Wanted *Wanted `json:"wanted,omitempty"`

	// ObservedAt is when Observed was read; the zero Time in a plan that was
	// read from a file, which means: read again before writing.
	ObservedAt time.Time `json:"-"`
}

// granted and revoked return the privileges of a change; none of a nil one.
func (c *Change) granted() Set {
	if c == nil {
		return Set{}
	}
	return setOf(c.Grant)
}

func (c *Change) revoked() Set {
	if c == nil {
		return Set{}
	}
	return setOf(c.Revoke)
}

func setOf(list []PlannedPrivilege) (s Set) {
	for i := range list {
		s.Add(list[i].ID)
	}
	return s
}

// after returns what the principal holds directly once c is done.
func (c *Change) after(direct Set) Set {
	return direct.Union(c.granted()).Minus(c.revoked())
}

// ObservedSets are the privileges in scope that a principal held when it was
// read.
type ObservedSets struct {
	Direct    Set `json:"direct"`
	Inherited Set `json:"inherited"`
}

// Severity of a finding.
type Severity string

const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityInfo    Severity = "info"
)

// Code is the stable code of a finding.
type Code string

const (
	CodeUnknownPrincipal   Code = "unknown-principal"
	CodeAmbiguousPrincipal Code = "ambiguous-principal"
	CodeNameMismatch       Code = "name-mismatch"
	CodeUnknownPrivilege   Code = "unknown-privilege"
	CodeReadFailed         Code = "read-failed"
	CodeDisabledUser       Code = "disabled-user"
	CodeInheritedForbidden Code = "inherited-forbidden"
	CodeInheritedNotListed Code = "inherited-not-listed"
	CodeRedundantDirect    Code = "redundant-direct"
	CodeExpiredEntry       Code = "expired-entry"
	CodeExpiringSoon       Code = "expiring-soon"
	CodeProtectedPrincipal Code = "protected-principal"
	CodeUnlistedPrincipal  Code = "unlisted-principal"
	CodeRuleViolation      Code = "rule-violation"

	// CodeConflictingEntries: entries that cover the same principal contradict
	// each other. CodeSelectorEmpty: a selector chooses nobody.
	CodeConflictingEntries Code = "conflicting-entries"
	CodeSelectorEmpty      Code = "selector-empty"

	// CodePartialUserList: the server gives no list of users, and the members of
	// Everyone, which are not all, were taken for it.
	CodePartialUserList Code = "partial-user-list"

	// CodeGonePrincipal: a list named somebody whom the server does not have.
	// CodeUnexpectedChange: what came and went while a run wrote, and does not
	// matter to the policy. CodeSideEffect: what a server does by itself beside what
	// it is asked for.
	CodeGonePrincipal    Code = "gone-principal"
	CodeUnexpectedChange Code = "unexpected-change"
	CodeSideEffect       Code = "side-effect"

	// CodeChangedSince: a rollback finds something else than the report says was
	// done, or cannot tell it from what others did.
	CodeChangedSince Code = "changed-since"

	// CodePolicyChanged: a saved plan was judged by a policy that is not the one it
	// was made from. CodePolicyUnchecked: by what the plan itself says of its policy.
	CodePolicyChanged   Code = "policy-changed"
	CodePolicyUnchecked Code = "policy-unchecked"

	// CodeOscillation: the plan undoes what the policy's last run did.
	// CodeGroupCycle: groups that contain themselves. CodeNoLongerListed: granted by
	// an earlier run and in no entry any more. CodeLicenceUncertain: what a plan
	// costs in licences is not known for sure. CodeOddCatalogue: entries of the
	// server's catalogue lack their number, name or level.
	CodeOscillation      Code = "oscillation"
	CodeGroupCycle       Code = "group-cycle"
	CodeNoLongerListed   Code = "no-longer-listed"
	CodeLicenceUncertain Code = "licence-uncertain"
	CodeOddCatalogue     Code = "odd-catalogue"
)

// Finding is something a person must know that is not a change.
// Principal, Privilege and Position are nil where they do not apply. Message is
// one plain sentence without the position; it may contain untrusted names, so
// renderers escape it.
type Finding struct {
	Code      Code             `json:"code"`
	Severity  Severity         `json:"severity"`
	Principal *Principal       `json:"principal,omitempty"`
	Privilege *PrivilegeRef    `json:"privilege,omitempty"`
	Message   string           `json:"message"`
	Sources   []Source         `json:"sources,omitempty"`
	Position  *policy.Position `json:"position,omitempty"`
	// Already (rule violations only): the rule is broken on the server as it is;
	// otherwise the plan would break it.
	Already bool `json:"already,omitempty"`
	// Count is how many principals the finding is about, where it is about more
	// than one; then Principal is the group that they have it from, if it is one.
	Count int `json:"count,omitempty"`

	concerned []mstrapi.ObjectID // all of them
	entry     int32              // the entry of the policy that it was met in first, plus 1; 0: none
}

// Source is why a privilege is held: the group that it comes from.
type Source struct {
	Kind mstrapi.Kind     `json:"kind"`
	ID   mstrapi.ObjectID `json:"id"`
	Name string           `json:"name"`
}

// Provenance is where a policy and a run came from, as flags or the variables of a CI
// system say. Nobody checked any of it, and nothing is decided from it: it is text
// from outside, clean and without credentials. Empty: it is not known.
type Provenance struct {
	Commit      string `json:"commit,omitempty"`
	Ref         string `json:"ref,omitempty"`         // branch or tag, as the system writes it
	PullRequest string `json:"pullRequest,omitempty"` // its number, as a rule
	Build       string `json:"build,omitempty"`       // link to the job that ran
	Author      string `json:"author,omitempty"`
}

// MaxProvenance bounds each member of a [Provenance], in bytes.
const MaxProvenance = 2000

// check refuses what this program never writes.
func (p *Provenance) check() error {
	if p != nil && max(len(p.Commit), len(p.Ref), len(p.PullRequest), len(p.Build), len(p.Author)) > 2*MaxProvenance {
		return errors.New("a member of source is too long")
	}
	return nil
}
