package planner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
)

// MaxPlanBytes bounds a saved plan: 100,000 principals with 60 changes each, and where
// in the policy each comes from, fit.
const MaxPlanBytes = 3 << 29

// maxClockSkew is how far in the future a plan may have been made.
const maxClockSkew = 10 * time.Minute

// ErrPlanRefused is matched by the errors of [ReadPlan] and [Plan.CheckSaved]
// that say that a plan must not be applied: it was edited, is of another format,
// is too old, or was made for another server. Errors that do not match it say
// that the file is no plan at all or could not be read.
var ErrPlanRefused = errors.New("plan refused")

func refusef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrPlanRefused, fmt.Errorf(format, args...))
}

// normalise replaces missing lists by empty ones: no list is null in JSON.
func (p *Plan) normalise() {
	p.Policy.Files = orEmpty(p.Policy.Files)
	p.Safety.Protected = orEmpty(p.Safety.Protected)
	p.Safety.ActorLoses = orEmpty(p.Safety.ActorLoses)
	p.Changes = orEmpty(p.Changes)
	p.Findings = orEmpty(p.Findings)
	p.Commands = orEmpty(p.Commands)
	p.Rules = orEmpty(p.Rules)
	for i := range p.Changes {
		p.Changes[i].Grant = orEmpty(p.Changes[i].Grant)
		p.Changes[i].Revoke = orEmpty(p.Changes[i].Revoke)
	}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Seal completes a plan so that it can be saved: lists that are nil become
// empty, times lose what RFC 3339 seconds in UTC cannot say, and Digest is set.
func (p *Plan) Seal() error {
	p.normalise()
	p.CreatedAt = p.CreatedAt.UTC().Truncate(time.Second)
	p.ExpiresAt = p.ExpiresAt.UTC().Truncate(time.Second)
	digest, err := DigestMembers(p.members())
	if err != nil {
		return fmt.Errorf("digest of the plan: %w", err)
	}
	p.Digest = digest
	return nil
}

// members are the members of the document, for its digest.
func (p *Plan) members() []Member {
	all := []Member{
		valueMember("format", p.Format), valueMember("tool", p.Tool),
		valueMember("createdAt", p.CreatedAt), valueMember("expiresAt", p.ExpiresAt),
		valueMember("environment", p.Environment), valueMember("actor", p.Actor),
		valueMember("policy", p.Policy), valueMember("scope", p.Scope), valueMember("safety", p.Safety),
		valueMember("complete", p.Complete), valueMember("coverage", p.Coverage), itemsMember("rules", p.Rules), valueMember("summary", p.Summary),
		itemsMember("changes", p.Changes), itemsMember("findings", p.Findings), itemsMember("commands", p.Commands),
	}
	if p.Maker != "" {
		all = append(all, valueMember("maker", p.Maker))
	}
	if p.Source != nil {
		all = append(all, valueMember("source", p.Source))
	}
	if p.Licences != nil {
		all = append(all, valueMember("licences", p.Licences))
	}
	if len(p.Prerequisites) > 0 {
		all = append(all, itemsMember("prerequisites", p.Prerequisites))
	}
	if len(p.Watch) > 0 {
		all = append(all, itemsMember("watch", p.Watch))
	}
	return all
}

func valueMember(name string, value any) Member {
	return Member{name, func(w io.Writer) error {
		text, err := canonical(value)
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	}}
}

func itemsMember[T any](name string, items []T) Member {
	return ListMember(name, len(items), func(b []byte, i int) ([]byte, error) {
		text, err := json.Marshal(&items[i])
		return append(b, text...), err
	})
}

// WriteTo writes the plan as JSON, indented so that it can be read and compared
// line by line: a change takes a line for each privilege, a finding takes one.
// It never holds the whole text in memory.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	out := &docWriter{w: bufio.NewWriterSize(w, 64<<10)}
	out.text("{\n")
	out.member("format", p.Format)
	out.member("tool", p.Tool)
	out.member("createdAt", p.CreatedAt)
	out.member("expiresAt", p.ExpiresAt)
	out.member("environment", p.Environment)
	out.member("actor", p.Actor)
	if p.Maker != "" {
		out.member("maker", p.Maker)
	}
	if p.Source != nil {
		out.member("source", p.Source)
	}
	out.member("policy", p.Policy)
	out.member("scope", p.Scope)
	out.member("safety", p.Safety)
	out.member("complete", p.Complete)
	out.member("coverage", p.Coverage)
	list(out, "rules", p.Rules, func(r *RuleResult) {
		out.text("    ")
		out.value(r)
	})
	out.member("summary", p.Summary)
	if p.Licences != nil {
		out.member("licences", p.Licences)
	}
	list(out, "changes", p.Changes, func(c *Change) {
		out.text("    {\n      \"principal\": ")
		out.value(c.Principal)
		out.text(",\n      \"grant\": ")
		out.privileges(c.Grant)
		out.text(",\n      \"revoke\": ")
		out.privileges(c.Revoke)
		out.text(",\n      \"observed\": ")
		out.value(c.Observed)
		out.text(",\n      \"impact\": ")
		out.value(c.Impact)
		if c.Wanted != nil {
			out.text(",\n      \"wanted\": ")
			out.value(c.Wanted)
		}
		out.text("\n    }")
	})
	list(out, "findings", p.Findings, func(f *Finding) {
		out.text("    ")
		out.value(f)
	})
	out.member("commands", orEmpty(p.Commands))
	if len(p.Prerequisites) > 0 {
		list(out, "prerequisites", p.Prerequisites, func(pre *Prerequisite) {
			out.text("    ")
			out.value(pre)
		})
	}
	if len(p.Watch) > 0 {
		list(out, "watch", p.Watch, func(w *Watch) {
			out.text("    ")
			out.value(w)
		})
	}
	out.text("  \"digest\": ")
	out.value(p.Digest)
	out.text("\n}\n")
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

// docWriter writes a document piece by piece. Its first error stays.
type docWriter struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (d *docWriter) text(s string) {
	if d.err != nil {
		return
	}
	n, err := d.w.WriteString(s)
	d.n += int64(n)
	d.err = err
}

func (d *docWriter) value(v any) {
	if d.err != nil {
		return
	}
	data, err := json.Marshal(v)
	if err != nil {
		d.err = err
		return
	}
	n, err := d.w.Write(data)
	d.n += int64(n)
	d.err = err
}

func (d *docWriter) member(key string, v any) {
	d.text("  \"" + key + "\": ")
	d.value(v)
	d.text(",\n")
}

func list[T any](d *docWriter, key string, items []T, write func(*T)) {
	d.text("  \"" + key + "\": [")
	for i := range items {
		if i > 0 {
			d.text(",")
		}
		d.text("\n")
		write(&items[i])
	}
	if len(items) > 0 {
		d.text("\n  ")
	}
	d.text("],\n")
}

func (d *docWriter) privileges(items []PlannedPrivilege) {
	d.text("[")
	for i := range items {
		if i > 0 {
			d.text(",")
		}
		d.text("\n        ")
		d.value(items[i])
	}
	if len(items) > 0 {
		d.text("\n      ")
	}
	d.text("]")
}

// ReadPlan reads a saved plan and checks that it is what was saved: its format,
// its digest over everything that stands in it, and that nothing in it is
// unknown or out of place. Such errors match [ErrPlanRefused]. Whether the plan
// may still be applied is for [Plan.CheckSaved] to say.
func ReadPlan(r io.Reader) (*Plan, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxPlanBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxPlanBytes {
		return nil, fmt.Errorf("the plan is larger than %d MiB", MaxPlanBytes>>20)
	}
	raw, err := topLevel(data)
	if err != nil {
		return nil, fmt.Errorf("not a plan: %w", err)
	}
	var format, digest string
	if err := json.Unmarshal(raw["format"], &format); err != nil || !strings.HasPrefix(format, "privsync/plan/") {
		return nil, fmt.Errorf("not a plan: its format is %s", cutText(orText(raw["format"], "missing"), 80))
	}
	if format != PlanFormat {
		return nil, refusef("its format is %s and this version reads only %s: make a new plan", clean.Quote(cutText(format, 80)), clean.Quote(PlanFormat))
	}
	if err := json.Unmarshal(raw[digestKey], &digest); err != nil || digest == "" {
		return nil, refusef("it has no digest")
	}
	is, err := DigestJSON(data)
	if err != nil {
		return nil, refusef("its digest cannot be computed: %w", err)
	}
	if is != digest {
		return nil, refusef("it was changed after it was made: its digest is %s, the document says %s", is, cutText(digest, 80))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var plan Plan
	if err := dec.Decode(&plan); err != nil {
		return nil, refusef("it does not fit its format: %w", err)
	}
	if err := plan.check(); err != nil {
		return nil, refusef("it does not fit its format: %w", err)
	}
	for i := range plan.Changes {
		Adopt(plan.Changes[i].Grant, plan.Changes[i].Revoke)
	}
	plan.normalise()
	return &plan, nil
}

func orText(raw json.RawMessage, missing string) string {
	if len(raw) == 0 {
		return missing
	}
	return string(raw)
}

func cutText(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// MaxPlanTTL is how long a plan may be applied after it was made, at most.
const MaxPlanTTL = 30 * 24 * time.Hour

// check makes sure of what the executor takes for granted.
func (p *Plan) check() error {
	if p.CreatedAt.IsZero() || p.ExpiresAt.IsZero() {
		return errors.New("createdAt or expiresAt is missing")
	}
	if p.ExpiresAt.Sub(p.CreatedAt) > MaxPlanTTL {
		return fmt.Errorf("it may be applied for longer than %d days", int(MaxPlanTTL.Hours()/24))
	}
	for i, name := range p.Commands {
		if slices.Contains(p.Commands[:i], name) {
			return fmt.Errorf("command %s stands twice", clean.Quote(cutText(name, 80)))
		}
	}
	switch p.Scope.Level {
	case mstrapi.LevelServer, mstrapi.LevelProject, mstrapi.LevelAll:
	default:
		return fmt.Errorf("scope level %s", clean.Quote(cutText(string(p.Scope.Level), 80)))
	}
	if err := p.Source.check(); err != nil {
		return err
	}
	if err := p.CheckChanges(); err != nil {
		return err
	}
	seen := make(map[mstrapi.ObjectID]bool, len(p.Changes))
	for i := range p.Changes {
		seen[p.Changes[i].Principal.ID] = true
	}
	for _, w := range p.Watch {
		if len(w.Principals) == 0 {
			return errors.New("an element of watch is empty")
		}
		for _, who := range w.Principals {
			if who.Kind != mstrapi.User && who.Kind != mstrapi.Group || !who.ID.Valid() || seen[who.ID] {
				return fmt.Errorf("watch: principal %s", clean.Quote(cutText(string(who.ID), 80)))
			}
			seen[who.ID] = true
		}
	}
	return nil
}

// CheckChanges refuses changes as no planner makes them: a plan from a file is not
// trusted to keep the promises that applying it rests on.
func (p *Plan) CheckChanges() error {
	seen := make(map[mstrapi.ObjectID]bool, len(p.Changes))
	for i := range p.Changes {
		c := &p.Changes[i]
		if err := c.check(); err != nil {
			return fmt.Errorf("change %d: %w", i+1, err)
		}
		if seen[c.Principal.ID] {
			return fmt.Errorf("change %d: principal %s stands twice", i+1, c.Principal.ID)
		}
		seen[c.Principal.ID] = true
	}
	return nil
}

func (c *Change) check() error {
	if c.Principal.Kind != mstrapi.User && c.Principal.Kind != mstrapi.Group {
		return fmt.Errorf("kind %s", clean.Quote(cutText(string(c.Principal.Kind), 80)))
	}
	if !c.Principal.ID.Valid() {
		return fmt.Errorf("id %s", clean.Quote(cutText(string(c.Principal.ID), 80)))
	}
	if len(c.Grant)+len(c.Revoke) == 0 {
		return errors.New("nothing to grant or to revoke")
	}
	var both Set
	for _, list := range [][]PlannedPrivilege{c.Grant, c.Revoke} {
		last := mstrapi.PrivilegeID(0)
		for _, p := range list {
			switch {
			case p.ID < 1 || p.ID > mstrapi.MaxPrivilegeID:
				return fmt.Errorf("privilege number %d", p.ID)
			case p.ID <= last:
				return fmt.Errorf("privilege %d is out of order", p.ID)
			case both.Has(p.ID):
				return fmt.Errorf("privilege %d is granted and revoked", p.ID)
			}
			both.Add(p.ID)
			last = p.ID
			if i := slices.IndexFunc(p.ReliesOn, func(id mstrapi.ObjectID) bool { return !id.Valid() }); i >= 0 {
				return fmt.Errorf("reliesOn %s", clean.Quote(cutText(string(p.ReliesOn[i]), 80)))
			}
			if err := p.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckSaved reports whether a plan that was read from a file may be applied to
// the server at url, at now: not one that was made for another server, has
// expired, or claims to be from the future. The error matches [ErrPlanRefused].
//
// A plan that was made longer ago than maxAge is refused, too; 0 sets no limit.
func (p *Plan) CheckSaved(url string, now time.Time, maxAge time.Duration) error {
	switch {
	case p.Format != PlanFormat:
		return refusef("its format is %s and this version reads only %s: make a new plan", clean.Quote(p.Format), clean.Quote(PlanFormat))
	case p.Environment.URL != url:
		return refusef("it was made for %s and this is %s", p.Environment.URL, url)
	case !now.Before(p.ExpiresAt):
		return refusef("it expired at %s: make a new plan", p.ExpiresAt.UTC().Format(time.RFC3339))
	case maxAge > 0 && now.Sub(p.CreatedAt) > maxAge:
		return refusef("it was made at %s, longer ago than %s: make a new plan", p.CreatedAt.UTC().Format(time.RFC3339), maxAge)
	case p.CreatedAt.After(now.Add(maxClockSkew)):
		return refusef("it is dated %s, which has not come yet: it is a preview, or a clock is wrong", p.CreatedAt.UTC().Format(time.RFC3339))
	}
	return nil
}
