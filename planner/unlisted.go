package planner

import (
	"fmt"

	"privsync/clean"
	"privsync/policy"
)

// wantOf returns what is wanted of a principal, nil for nothing.
func (c *compiled) wantOf(o *Observed, st *State) *want {
	switch {
	case o.Covered:
		return c.wantFor(o)
	case o.scanned && c.revokesUnlisted(st) && !st.isProtected[o.Principal.ID]:
		return c.unlisted
	}
	return nil
}

// revokesUnlisted reports whether those lose what they hold whom no entry covers.
// They do not while somebody is absent, who may be one of them by another name, nor
// while it is not known who there is.
func (c *compiled) revokesUnlisted(st *State) bool {
	return c.knowsUnlisted(st) && !st.absent && !st.onlyEveryone
}

func (c *compiled) knowsUnlisted(st *State) bool {
	return c.pol.Unlisted == policy.UnlistedRevoke && !st.unscanned && len(st.failed) == 0 && len(st.unresolved) == 0
}

// unlistedFindings tells of principals with direct grants that no entry covers.
func unlistedFindings(c *compiled, st *State) []Finding {
	var out []Finding
	for _, o := range st.unlisted {
		if o.Err != nil || o.Direct.IsEmpty() {
			continue
		}
		held := fmt.Sprintf("%s holds %s directly", o.Principal.Label(), clean.Count(o.Direct.Len(), "privilege"))
		severity, why := SeverityWarning, ""
		switch revoke := c.pol.Unlisted == policy.UnlistedRevoke; {
		case revoke && st.absent:
			why = "; nothing is revoked from it while the policy names somebody that the server does not have, who may go by this name now"
		case revoke && st.onlyEveryone:
			why = "; nothing is revoked from it while not all users of the server are known"
		case c.pol.Unlisted == policy.UnlistedReport:
		case revoke && st.isProtected[o.Principal.ID]:
			out = append(out, finding(CodeProtectedPrincipal, SeverityInfo, "%s, no entry of the policy covers it, and it is protected: it is passed over", held).about(o.Principal))
			continue
		default:
			continue
		}
		f := finding(CodeUnlistedPrincipal, severity, "%s and no entry of the policy covers it: %s%s", held, joinIDs(o.Direct.IDs()), why)
		out = append(out, f.about(o.Principal))
	}
	return out
}
