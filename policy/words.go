package policy

import (
	"fmt"
	"strings"
	"time"

	"privsync/clean"
)

// String says in words whom s chooses: every user in group "Contractors" at any depth.
func (s *Selector) String() string {
	var parts []string
	if s.MemberOf != "" {
		group := "in group " + clean.Quote(s.MemberOf)
		if s.Nested {
			group += " at any depth"
		}
		if s.MemberOfID != "" {
			group += " (" + s.MemberOfID + ")"
		}
		parts = append(parts, group)
	}
	if s.LoginMatches != "" {
		parts = append(parts, fmt.Sprintf("with a login like %s", clean.Quote(s.LoginMatches)))
	}
	if s.NameMatches != "" {
		parts = append(parts, fmt.Sprintf("with a name like %s", clean.Quote(s.NameMatches)))
	}
	if s.Enabled != nil && *s.Enabled {
		parts = append(parts, "enabled")
	}
	if s.Enabled != nil && !*s.Enabled {
		parts = append(parts, "disabled")
	}
	text := fmt.Sprintf("every %s", s.Kind)
	if len(parts) > 0 {
		text += " " + strings.Join(parts, ", ")
	}
	for i, x := range s.Except {
		text += []string{" but not ", " and not "}[min(i, 1)]
		switch {
		case x.Selector != nil:
			text += x.Selector.String()
		case x.Principal.Kind == Group:
			text += fmt.Sprintf("group %s and its members", clean.Quote(x.Principal.Name))
		default:
			text += fmt.Sprintf("user %s", clean.Quote(x.Principal.Name))
		}
		if !x.Until.IsZero() {
			text += " (until " + x.Until.UTC().Format(time.DateOnly) + ")"
		}
	}
	return text
}
