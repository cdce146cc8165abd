package planner

import (
	"slices"
	"time"

	"privsync/policy"
)

// InForce is what a policy came to with the overlay that --env selected, besides
// its entries and rules: evidence for whoever reads a plan or a report without
// the policy. Nothing is decided from it; [Safety] holds what the guards need.
type InForce struct {
	// Date is the day in UTC that expiring entries were judged at.
	Date        string         `json:"date"`
	Owner       string         `json:"owner,omitempty"`
	Environment PolicyServer   `json:"environment"`
	Defaults    PolicyDefaults `json:"defaults"`
	Safety      *PolicySafety  `json:"safety,omitempty"` // nil: no safety section
	Unlisted    string         `json:"unlisted"`
}

// PolicyServer is a policy's environment section. Flags and variables beat it:
// the server that was used is [Environment].
type PolicyServer struct {
	URL       string `json:"url,omitempty"`
	LoginMode string `json:"loginMode,omitempty"`
}

// PolicyDefaults are the settings of entries that state none.
type PolicyDefaults struct {
	Mode               string `json:"mode"`
	SatisfiedBy        string `json:"satisfiedBy"`
	Redundant          string `json:"redundant"`
	Inherited          string `json:"inherited"`
	Missing            string `json:"missing,omitempty"` // empty: a document that does not say
	ExpiringWithinDays int    `json:"expiringWithinDays"`
}

// PolicySafety is a policy's safety section, as it is written there.
type PolicySafety struct {
	MaxRevokes           string          `json:"maxRevokes,omitempty"`
	MaxChangedPrincipals string          `json:"maxChangedPrincipals,omitempty"`
	Protected            []ProtectedRef  `json:"protected"`
	OwnPrivileges        []string        `json:"ownPrivileges,omitempty"` // numbers or names; empty: known by their names
	Approval             *PolicyApproval `json:"approval,omitempty"`      // nil: none is wanted
	ServerLock           bool            `json:"serverLock,omitempty"`
	Administrative       []string        `json:"administrative,omitempty"` // numbers or names; empty: known by their names
}

// PolicyApproval is safety.approval as a policy writes it.
type PolicyApproval struct {
	Required int          `json:"required"`
	Above    *PolicyAbove `json:"above,omitempty"` // nil: always
}

// PolicyAbove is safety.approval.above as a policy writes it.
type PolicyAbove struct {
	Revokes  *int     `json:"revokes,omitempty"`
	GrantsOf []string `json:"grantsOf,omitempty"` // numbers or names
}

// ProtectedRef names a protected principal, or a selector of some, as a policy does: all
// but one of User, Group, Users and Groups are empty.
type ProtectedRef struct {
	User  string `json:"user,omitempty"`
	Group string `json:"group,omitempty"`
	ID    string `json:"id,omitempty"`
	// Users and Groups are selectors; then the others are empty.
	Users  *ProtectedSelector `json:"users,omitempty"`
	Groups *ProtectedSelector `json:"groups,omitempty"`
}

// ProtectedSelector is a selector of protected principals as a policy writes it, but
// for its exceptions, which are counted.
type ProtectedSelector struct {
	policy.Conditions
	Exceptions int `json:"exceptions,omitempty"`
}

// RefOf names pol in a document of a run that judged its dates at now.
func RefOf(pol *policy.Policy, now time.Time) PolicyRef {
	ref := PolicyRef{
		Name: pol.Name, Environment: pol.EnvironmentName, Digest: pol.Digest, BaseDigest: pol.BaseDigest, Files: slices.Clone(pol.Files),
		InForce: &InForce{
			Date:        now.UTC().Format(day),
			Owner:       pol.Owner,
			Environment: PolicyServer{URL: pol.Environment.URL, LoginMode: pol.Environment.LoginMode},
			Defaults: PolicyDefaults{
				Mode: string(pol.Defaults.Mode), SatisfiedBy: string(pol.Defaults.SatisfiedBy), Redundant: string(pol.Defaults.Redundant),
				Inherited: string(pol.Defaults.Inherited), Missing: string(pol.Defaults.Missing), ExpiringWithinDays: pol.ExpiringWithinDays,
			},
			Unlisted: string(pol.Unlisted),
		},
	}
	if s := pol.Safety; s != nil {
		written := &PolicySafety{ServerLock: s.ServerLock, Protected: make([]ProtectedRef, 0, len(s.Protected))}
		if s.MaxRevokes != nil {
			written.MaxRevokes = s.MaxRevokes.String()
		}
		if s.MaxChangedPrincipals != nil {
			written.MaxChangedPrincipals = s.MaxChangedPrincipals.String()
		}
		for _, p := range s.Protected {
			written.Protected = append(written.Protected, refTo(p))
		}
		for _, by := range s.ProtectedBy {
			written.Protected = append(written.Protected, selectorTo(by))
		}
		for _, own := range s.OwnPrivileges {
			written.OwnPrivileges = append(written.OwnPrivileges, own.String())
		}
		for _, ref := range s.Administrative {
			written.Administrative = append(written.Administrative, ref.String())
		}
		if a := s.Approval; a != nil {
			written.Approval = &PolicyApproval{Required: a.Required}
			if a.Above != nil {
				above := &PolicyAbove{}
				if a.Above.Revokes != nil {
					above.Revokes = &a.Above.Revokes.Number
				}
				for _, g := range a.Above.GrantsOf {
					above.GrantsOf = append(above.GrantsOf, g.String())
				}
				written.Approval.Above = above
			}
		}
		ref.InForce.Safety = written
	}
	return ref
}
