package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/mstr"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// The types here implement pflag.Value: a flag and the variable that sets it go
// through the same Set, so both are checked in one place.

// choice is a string flag with a fixed list of values.
type choice struct {
	value   string
	allowed []string
}

// newChoice returns a choice whose default is the first of allowed.
func newChoice(allowed ...string) choice { return choice{value: allowed[0], allowed: allowed} }

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.allowed, "|") }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		if near := policy.Suggest(s, c.allowed); near != "" {
			return fmt.Errorf("%s is not one of %s; did you mean %s?", clean.Quote(s), strings.Join(c.allowed, ", "), clean.Quote(near))
		}
		return fmt.Errorf("%s is not one of %s", clean.Quote(s), strings.Join(c.allowed, ", "))
	}
	c.value = s
	return nil
}

// complete offers the allowed values to shell completion.
func (c *choice) complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return c.allowed, cobra.ShellCompDirectiveNoFileComp
}

// products is a flag that may be repeated: names of licence products, or what stands
// for all that have no name.
type products []string

func (p *products) allowed() []string {
	return append(mstr.Products(), planner.AllOtherProducts)
}
func (p *products) String() string { return strings.Join(*p, ",") }
func (p *products) Type() string   { return "PRODUCT" }

func (p *products) Set(s string) error {
	if !slices.Contains(p.allowed(), s) {
		if near := policy.Suggest(s, p.allowed()); near != "" {
			return fmt.Errorf("there is no product %s; did you mean %s?", clean.Quote(s), clean.Quote(near))
		}
		return fmt.Errorf("there is no product %s; the products are %s", clean.Quote(s), strings.Join(p.allowed(), ", "))
	}
	*p = append(*p, s)
	return nil
}

// complete offers the products to shell completion.
func (p *products) complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return p.allowed(), cobra.ShellCompDirectiveNoFileComp
}

// loginMode is the --login-mode flag. The zero value means: not given.
type loginMode struct{ mode mstrapi.LoginMode }

func (m *loginMode) Type() string { return "MODE" }

// complete offers the modes to shell completion.
func (m *loginMode) complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"standard", "ldap", "apiToken"}, cobra.ShellCompDirectiveNoFileComp
}

func (m *loginMode) String() string { return loginModeName(m.mode) }

func (m *loginMode) Set(s string) error {
	switch strings.ToLower(s) {
	case "standard", "1":
		m.mode = mstrapi.Standard
	case "ldap", "16":
		m.mode = mstrapi.LDAP
	case "apitoken", "4096":
		m.mode = mstrapi.APIToken
	default:
		return fmt.Errorf("%s is not a login mode: use standard (1), ldap (16) or apiToken (4096)", clean.Quote(s))
	}
	return nil
}

// loginModeName returns the name that policies and flags use; empty for zero.
func loginModeName(m mstrapi.LoginMode) string {
	switch m {
	case mstrapi.Standard:
		return "standard"
	case mstrapi.LDAP:
		return "ldap"
	case mstrapi.APIToken:
		return "apiToken"
	}
	return ""
}

// count is an integer flag between min and max, both included.
type count struct{ value, min, max int }

func (c *count) Type() string   { return "N" }
func (c *count) String() string { return strconv.Itoa(c.value) }

func (c *count) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < c.min || n > c.max {
		return fmt.Errorf("%s is not a whole number from %d to %d", clean.Quote(s), c.min, c.max)
	}
	c.value = n
	return nil
}

// rate is a flag in requests per second; 0 means no limit.
type rate float64

func (r *rate) Type() string   { return "R" }
func (r *rate) String() string { return strconv.FormatFloat(float64(*r), 'g', -1, 64) }

func (r *rate) Set(s string) error {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
		return fmt.Errorf("%s is not a number of requests per second (0 means no limit)", clean.Quote(s))
	}
	*r = rate(f)
	return nil
}

// span is a duration flag above zero; zero is allowed where zeroOK is set and
// then means what the flag's help says.
// Above most, if that is not zero, nothing is allowed.
type span struct {
	value  time.Duration
	zeroOK bool
	most   time.Duration
}

func (d *span) Type() string { return "DURATION" }

func (d *span) String() string {
	// 24h0m0s reads worse than 24h in a help text.
	s := d.value.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (d *span) Set(s string) error {
	v, err := time.ParseDuration(s)
	if s == "0" {
		v, err = 0, nil
	}
	if err != nil || v < 0 || v == 0 && !d.zeroOK {
		return fmt.Errorf("%s is not a duration like 90s, 15m or 24h", clean.Quote(s))
	}
	if d.most > 0 && v > d.most {
		return fmt.Errorf("%s is longer than the %s that are allowed", clean.Quote(s), (&span{value: d.most}).String())
	}
	d.value = v
	return nil
}

// instant is the --now flag: RFC 3339, or a date, which means its midnight UTC.
// The zero Time means: the present.
type instant struct{ time.Time }

func (i *instant) Type() string { return "TIME" }

func (i *instant) String() string {
	if i.IsZero() {
		return ""
	}
	return i.Format(time.RFC3339)
}

func (i *instant) Set(s string) error {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			i.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%s is neither a date (2026-12-31) nor an RFC 3339 time (2026-12-31T22:00:00Z)", clean.Quote(s))
}

// past is a time in the past: an [instant], or an age in days like 400d, which is
// counted back from now when the flag is used. The zero past means: not given.
type past struct {
	instant
	days int
}

func (p *past) Type() string { return "TIME" }

func (p *past) String() string {
	if p.days > 0 {
		return strconv.Itoa(p.days) + "d"
	}
	return p.instant.String()
}

func (p *past) Set(s string) error {
	if digits, days := strings.CutSuffix(s, "d"); days {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%s is not an age in days like 400d", clean.Quote(s))
		}
		*p = past{days: int(n)}
		return nil
	}
	var at instant
	if at.Set(s) != nil {
		return fmt.Errorf("%s is neither a date (2026-12-31), nor an RFC 3339 time (2026-12-31T22:00:00Z), nor an age in days (400d)", clean.Quote(s))
	}
	*p = past{instant: at}
	return nil
}

// given reports whether the flag was.
func (p *past) given() bool { return p.days > 0 || !p.IsZero() }

// from returns the time that p means, as of now.
func (p *past) from(now time.Time) time.Time {
	if p.days > 0 {
		return now.AddDate(0, 0, -p.days)
	}
	return p.Time
}

// limit is a guard's override: a number, or a percent where percentOK is set. A
// nil limit means: not given, so the policy's own limit holds.
type limit struct {
	limit     *policy.Limit
	percentOK bool
}

func (l *limit) Type() string {
	if l.percentOK {
		return "N|P%"
	}
	return "N"
}

func (l *limit) String() string {
	if l.limit == nil {
		return ""
	}
	return l.limit.String()
}

func (l *limit) Set(s string) error {
	v, err := policy.ParseLimit(s)
	switch {
	case !l.percentOK && strings.HasSuffix(s, "%"):
		return fmt.Errorf("%s is a percent: this limit takes a whole number", clean.Quote(s))
	case !l.percentOK && err != nil:
		return fmt.Errorf("%s is not a whole number", clean.Quote(s))
	case err != nil:
		return err
	}
	l.limit = &v
	return nil
}
