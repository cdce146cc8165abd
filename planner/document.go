package planner

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"privsync/clean"
	"privsync/document"
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

// Seal completes a plan so that it can be saved: times lose what RFC 3339 seconds in
// UTC cannot say, and Digest is set.
func (p *Plan) Seal() error {
	p.CreatedAt = p.CreatedAt.UTC().Truncate(time.Second)
	p.ExpiresAt = p.ExpiresAt.UTC().Truncate(time.Second)
	digest, err := document.Digest(p)
	if err != nil {
		return fmt.Errorf("digest of the plan: %w", err)
	}
	p.Digest = digest
	return nil
}

// WriteTo writes the plan as JSON, indented so that it can be read and compared
// line by line: a change takes a line for each privilege, a finding takes one.
// It never holds the whole text in memory.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	return document.Write(w, p, jsontext.EscapeForHTML(true))
}

// ReadPlan reads a saved plan and checks that it is what was saved: its format,
// its digest over everything that stands in it, and that nothing in it is
// unknown or out of place. Such errors match [ErrPlanRefused]. Whether the plan
// may still be applied is for [Plan.CheckSaved] to say.
func ReadPlan(r io.Reader) (*Plan, error) {
	plan := new(Plan)
	digest, err := document.Read(r, MaxPlanBytes, plan, nil)
	switch {
	case digest == "":
		return nil, fmt.Errorf("not a plan: %w", err)
	case !strings.HasPrefix(plan.Format, "privsync/plan/"):
		return nil, fmt.Errorf("not a plan: its format is %s", clean.Quote(clean.Clip(plan.Format, 80)))
	case plan.Format != PlanFormat:
		return nil, refusef("its format is %s and this version reads only %s: make a new plan", clean.Quote(clean.Clip(plan.Format, 80)), clean.Quote(PlanFormat))
	case plan.Digest == "":
		return nil, refusef("it has no digest")
	case plan.Digest != digest:
		return nil, refusef("it was changed after it was made: its digest is %s, the document says %s", digest, clean.Text(clean.Clip(plan.Digest, 80)))
	}
	if err == nil {
		err = plan.check()
	}
	if err != nil {
		return nil, refusef("it does not fit its format: %w", err)
	}
	for i := range plan.Changes {
		Adopt(plan.Changes[i].Grant, plan.Changes[i].Revoke)
	}
	return plan, nil
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
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
			return fmt.Errorf("command %s stands twice", clean.Quote(clean.Clip(name, 80)))
		}
	}
	switch p.Scope.Level {
	case mstrapi.LevelServer, mstrapi.LevelProject, mstrapi.LevelAll:
	default:
		return fmt.Errorf("scope level %s", clean.Quote(clean.Clip(string(p.Scope.Level), 80)))
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
				return fmt.Errorf("watch: principal %s", clean.Quote(clean.Clip(string(who.ID), 80)))
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
		return fmt.Errorf("kind %s", clean.Quote(clean.Clip(string(c.Principal.Kind), 80)))
	}
	if !c.Principal.ID.Valid() {
		return fmt.Errorf("id %s", clean.Quote(clean.Clip(string(c.Principal.ID), 80)))
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
				return fmt.Errorf("reliesOn %s", clean.Quote(clean.Clip(string(p.ReliesOn[i]), 80)))
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
