package planner

import (
	"context"

	"privsync/mstrapi"
	"privsync/policy"
)

// LicenceInput is what [Observe] needs to count licences.
type LicenceInput struct {
	// Map is nil where the map that Missing names is not there; why says Err.
	Map     *LicenceMap
	Missing string
	Err     error
	// Compliance is the server's last count. ComplianceErr says why it is not known,
	// ScanErr why there is no new one although one was asked for.
	Compliance    mstrapi.Compliance
	ComplianceErr error
	ScanErr       error
	Position      *policy.Position // where the policy names the map

	products  map[int]Set
	consuming Set
	known     Set
}

// prepare completes the input for counting.
func (in *LicenceInput) prepare() *LicenceInput {
	if in == nil {
		return nil
	}
	out := *in
	if out.Map != nil {
		out.products, out.consuming, out.known = out.Map.sets()
	}
	return &out
}

// counts reports whether there is a map to count with.
func (in *LicenceInput) counts() bool { return in != nil && in.Map != nil }

// matters reports whether what the privilege costs is a question: it consumes a
// licence, or nobody knows.
func (in *LicenceInput) matters(q mstrapi.PrivilegeID) bool {
	return in.consuming.Has(q) || !in.known.Has(q)
}

// beyond is what a principal holds outside the scope of the policy, of the
// privileges that may consume licences.
type beyond struct {
	direct Set
	held   *profile
}

func (b *beyond) all() Set {
	if b.held == nil {
		return b.direct
	}
	return b.direct.Union(b.held.inherited).Union(b.held.elsewhere)
}

// level is the level that principals are read at: with a licence map everything,
// in the same request.
func (ob *observer) level() mstrapi.Level {
	if ob.st.licences.counts() {
		return mstrapi.LevelAll
	}
	return ob.st.Level
}

// splitBeyond takes what lies outside the scope and may consume licences out of held.
func (ob *observer) splitBeyond(held []mstrapi.Held) []mstrapi.Held {
	if !ob.st.licences.counts() || ob.st.Level == mstrapi.LevelAll {
		return nil
	}
	var out []mstrapi.Held
	for _, h := range held {
		if h.Level != "" && h.Level != ob.st.Level && ob.st.licences.matters(h.ID) {
			out = append(out, h)
		}
	}
	return out
}

// fetchMemberRows reads who the users below groups are, without what they hold.
func (ob *observer) fetchMemberRows(ctx context.Context, groups []*Observed) error {
	return ob.work(ctx, len(groups), func(ctx context.Context, i int) error {
		id := groups[i].Principal.ID
		rows := []mstrapi.PrincipalRow{}
		m, err := ob.allMembers(ctx, id, func(row mstrapi.PrincipalRow) {
			row.Kind, row.Memberships = mstrapi.User, nil
			rows = append(rows, row)
		})
		if err != nil && isFatal(ctx, err) {
			return err
		}
		ob.mu.Lock()
		defer ob.mu.Unlock()
		if err != nil {
			rows = nil // how many there are is asked for below, as without a map
		} else {
			ob.st.members[id] = m
		}
		ob.st.memberRows[id] = rows
		return nil
	})
}

// ServiceAccounts is the vendor's id of the group "MicroStrategy Service Accounts",
// which newer versions call "Strategy Service Accounts". The vendor's sample of a
// licence audit shows no licences for an account in it, nor for the built-in
// administrator, although both are enabled and hold privileges.
const ServiceAccounts mstrapi.ObjectID = "5B6C1434431D99F9A8230191FE5F6849"

// readApart finds out who is counted apart: one request, for the members of the
// group of service accounts, which not every version has.
func (ob *observer) readApart(ctx context.Context) error {
	if !ob.st.licences.counts() {
		return nil
	}
	ob.st.apart = map[mstrapi.ObjectID]bool{mstrapi.AdministratorUser: true}
	_, err := ob.allMembers(ctx, ServiceAccounts, func(row mstrapi.PrincipalRow) { ob.st.apart[row.ID] = true })
	switch {
	case err == nil, mstrapi.IsNotFound(err):
	case isFatal(ctx, err):
		return err
	default:
		ob.st.apartErr = err
	}
	return nil
}
