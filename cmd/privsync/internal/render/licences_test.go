package render

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

func seatCount(n int) *int { return &n }

// sampleLicences are the licences of an audit, or of a plan.
func sampleLicences(audit bool) *planner.Licences {
	at := day(2, 0, 0)
	demo := planner.Consumer{Principal: user(1, "demo", "Demo User"), Through: []planner.Through{
		{Privilege: priv(70), Source: planner.ThroughDirect},
		{Privilege: priv(70), Source: planner.ThroughGroup, Groups: []mstrapi.ObjectRef{{ID: oid(7), Name: "Web | `Team`"}}},
		{Privilege: priv(53), Source: planner.ThroughRole, Groups: []mstrapi.ObjectRef{{ID: oid(8), Name: "Operator"}}},
	}}
	single := planner.Consumer{Principal: user(2, "mia", "Mia"), Through: []planner.Through{{Privilege: priv(70), Source: planner.ThroughDirect}}, Also: []string{"CLIENT_REPORTER"}}
	l := &planner.Licences{
		ComplianceTime: &at, Counted: planner.CountedUsers{Users: 40, Of: seatCount(41)},
		Products: []planner.ProductForecast{
			{ID: 1, Name: "CLIENT_REPORTER", Now: 3, After: 3, AtLeast: true, Unlimited: true},
			{ID: 2, Name: "CLIENT_WEB", Now: 12, After: 13, Difference: 1, AtMost: seatCount(4), AtLeast: true, Entitled: seatCount(12), Apart: 1},
			{ID: 7, Name: "SERVER_INTELLIGENCE", Now: 1, After: 0, Difference: -1, AtLeast: true},
			{ID: 41, Name: "CLIENT_DESKTOP"},
		},
	}
	web, server := &l.Products[1], &l.Products[2]
	if audit {
		web.Consumers, web.Cheapest = []planner.Consumer{demo, single}, []planner.Consumer{single}
		web.ApartUsers = []planner.Consumer{{Principal: user(9, "administrator", "Administrator"), Through: single.Through}}
	} else {
		web.Gains, server.Frees = []planner.Consumer{demo}, []planner.Consumer{single}
	}
	return l
}

func TestLicences(t *testing.T) {
	for name, doc := range map[string]any{
		"licences-plan":  &planner.Plan{Complete: true, Policy: planner.PolicyRef{Name: "seats"}, Licences: sampleLicences(false)},
		"licences-audit": &executor.Report{Run: executor.Run{Command: "audit"}, Policy: planner.PolicyRef{Name: "seats"}, Licences: sampleLicences(true)},
	} {
		golden(t, name+".txt", []byte(text(t, doc, Options{})))
		var markdown, page bytes.Buffer
		if err := Markdown(&markdown, doc, MarkdownOptions{}); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".md", markdown.Bytes())
		if err := HTML(&page, doc, HTMLOptions{}); err != nil {
			t.Fatal(err)
		}
		_, part, _ := strings.Cut(page.String(), `<section id="licences"`)
		part, _, found := strings.Cut(part, "</section>")
		if !found {
			t.Errorf("%s: the page has no part about licences", name)
		}
		golden(t, name+".html", []byte(part))
	}
}

// That nobody consumes anything is said, and long lists are cut where not all was asked for.
func TestLicencesFewAndMany(t *testing.T) {
	l := &planner.Licences{Products: []planner.ProductForecast{{ID: 2, Name: "CLIENT_WEB"}}}
	plan := &planner.Plan{Licences: l}
	for format, got := range map[string]string{"text": text(t, plan, Options{}), "markdown": mark(t, plan)} {
		if !strings.Contains(got, noSeats) || !strings.Contains(got, "of an unknown number") {
			t.Errorf("%s of a plan in which nobody consumes anything: %s", format, got)
		}
		if strings.Contains(got, "left out") || strings.Contains(got, "Cut to") {
			t.Errorf("%s of a plan in which nobody consumes anything says that it is cut: %s", format, got)
		}
	}
	for i := range 60 {
		l.Products[0].Gains = append(l.Products[0].Gains, planner.Consumer{Principal: user(i, fmt.Sprintf("user%02d", i), "User")})
	}
	l.Products[0].After, l.Products[0].Difference = 60, 60
	if got := text(t, plan, Options{}); !strings.Contains(got, "… and 40 more") || strings.Contains(got, "user30") {
		t.Errorf("text of 60 gains is not cut: %s", got)
	}
	if got := text(t, plan, Options{Verbose: true}); !strings.Contains(got, "user59") {
		t.Errorf("verbose text of 60 gains is cut: %s", got)
	}
}

func mark(t *testing.T, doc any) string {
	t.Helper()
	var b bytes.Buffer
	if err := Markdown(&b, doc, MarkdownOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// No name makes a second line, a formula or an escape sequence.
func TestLicenceUseHostile(t *testing.T) {
	for _, payload := range payloads() {
		use := &planner.LicenceUse{
			Products: []planner.ProductUse{{ID: 2, Name: "CLIENT_WEB", Users: 1}},
			Rows: []planner.LicenceSeat{{
				Principal: planner.Principal{Kind: mstrapi.User, Name: payload, Login: payload}, Product: planner.LicenceProduct{ID: 2, Name: "CLIENT_WEB"},
				Through: []planner.Through{{Privilege: planner.PrivilegeRef{ID: 17, Name: payload}, Source: planner.ThroughGroup, Groups: []mstrapi.ObjectRef{{Name: payload}}}},
			}},
			Findings: []planner.Finding{{Code: planner.CodeLicenceUncertain, Severity: planner.SeverityWarning, Message: payload}},
		}
		var csv bytes.Buffer
		if err := CSVDocument(&csv, use); err != nil {
			t.Fatal(err)
		}
		for format, got := range map[string]string{"text": text(t, use, Options{}), "csv": csv.String()} {
			for line := range strings.Lines(got) {
				if line = strings.TrimSuffix(line, "\n"); line != Clean(line) {
					t.Errorf("%s with %q: %q", format, payload, line)
				}
			}
		}
		if n := strings.Count(csv.String(), "\n"); n != 2 {
			t.Errorf("csv with %q has %d lines: %s", payload, n, csv.String())
		}
	}
}
