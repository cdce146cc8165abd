package mstrapi

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What lists of principals may look like, and what becomes of it.
func TestDecodeRows(t *testing.T) {
	const id = "17CD5CDB43085A8A52533B86A05DCB3A"
	is := func(members string) string { return `[{"id":"` + id + `","name":"N"` + members + `}]` }
	row := func(r PrincipalRow) []PrincipalRow { r.ID, r.Name = id, "N"; return []PrincipalRow{r} }
	group, user := PrincipalRow{Kind: Group}, PrincipalRow{Kind: User}
	for _, test := range []struct {
		name, body string
		kind       Kind
		want       []PrincipalRow // nil: refused
	}{
		{"no rows", ` [ ] `, "", []PrincipalRow{}},
		{"an empty object", `{}`, "", []PrincipalRow{}},
		{"nothing but what must be there", is(``), "", row(group)},
		{"a list of users", is(``), User, row(user)},
		{"id in lower case", strings.ToLower(is(``)), User, []PrincipalRow{{Kind: User, ID: id, Name: "n"}}},
		{"name null", `[{"name":null,"id":"` + id + `"}]`, User, []PrincipalRow{{Kind: User, ID: id}}},
		{"no UTF-8", `[{"name":"a` + "\xff" + `\ud800","id":"` + id + `"}]`, User, []PrincipalRow{{Kind: User, ID: id, Name: "a\ufffd\ufffd"}}},
		{"escapes in keys", `[{"\u0069d":"` + id + `","n\u0061me":"\u004e"}]`, User, row(user)},
		{"unknown members", is(`,"x":{"id":7},"y":[1,-2.5e+3,"\u00e9",true,null,{}],"Name":"another","memberShips":3`), User, row(user)},
		{"subtype of a user", is(`,"subtype":8704`), "", row(user)},
		{"subtype a string", is(`,"subtype":"8704","abbreviation":null`), "", row(user)},
		{"subtype of a group", is(`,"subtype":8705,"abbreviation":"a","enabled":true`), "", row(group)},
		{"subtype of something else", is(`,"subtype":8706,"username":""`), "", row(user)},
		{"subtype null", is(`,"subtype":null`), "", row(group)},
		{"what the list says goes before", is(`,"subtype":8705`), User, row(user)},
		{"enabled tells a user", is(`,"enabled":false`), "", row(PrincipalRow{Kind: User, Enabled: No})},
		{"nulls tell nothing", is(`,"enabled":null,"abbreviation":null,"username":null,"mdTenantName":null`), "", row(group)},
		{"abbreviation before username", is(`,"username":"u","abbreviation":"a"`), "", row(PrincipalRow{Kind: User, Login: "a"})},
		{"username where that is empty", is(`,"username":"u","abbreviation":"","enabled":true`), "", row(PrincipalRow{Kind: User, Login: "u", Enabled: Yes})},
		{"memberships", is(`,"memberships":[{"id":"` + id + `","name":"G","x":1},{"id":"` + id + `"}]`), User, row(PrincipalRow{Kind: User, Memberships: []ObjectRef{{ID: id, Name: "G"}}})},
		{"no memberships", is(`,"memberships":[]`), User, row(PrincipalRow{Kind: User, Memberships: []ObjectRef{}})},
		{"tenant", is(`,"mdTenantId":"T","mdTenantName":"Tenant"`), Group, row(PrincipalRow{Kind: Group, Tenant: "Tenant"})},
		{"id of a tenant", is(`,"mdTenantId":"T"`), Group, row(PrincipalRow{Kind: Group, Tenant: "T"})},

		{name: "null", body: `null`},
		{name: "a bare row", body: strings.Trim(is(``), "[]")},
		{name: "a row that is null", body: `[null]`},
		{name: "a null among rows", body: is(``)[:len(is(``))-1] + `,null]`},
		{name: "a list of lists", body: `[` + is(``) + `]`},
		{name: "no name", body: `[{"id":"` + id + `"}]`},
		{name: "name of another case", body: `[{"id":"` + id + `","Name":"N"}]`},
		{name: "name a number", body: `[{"id":"` + id + `","name":7}]`},
		{name: "id a number", body: `[{"id":17,"name":"N"}]`},
		{name: "id null", body: `[{"id":null,"name":"N"}]`},
		{name: "short id", body: `[{"id":"17CD","name":"N"}]`},
		{name: "id twice", body: is(`,"id":"` + id + `"`)},
		{name: "id twice, once with an escape", body: is(`,"\u0069d":"` + id + `"`)},
		{name: "unknown member twice", body: is(`,"x":1,"x":1`)},
		{name: "unknown member with one twice", body: is(`,"x":{"a":1,"a":1}`)},
		{name: "login a number", body: is(`,"abbreviation":7`)},
		{name: "enabled a string", body: is(`,"enabled":"true"`)},
		{name: "subtype a boolean", body: is(`,"subtype":true`)},
		{name: "subtype a list", body: is(`,"subtype":[8704]`)},
		{name: "memberships null", body: is(`,"memberships":null`)},
		{name: "memberships an object", body: is(`,"memberships":{}`)},
		{name: "membership null", body: is(`,"memberships":[null]`)},
		{name: "membership without an id", body: is(`,"memberships":[{"name":"G"}]`)},
		{name: "bad number", body: is(`,"x":02`)},
		{name: "bad escape", body: is(`,"x":"\x"`)},
		{name: "control character", body: is(`,"x":"` + "\x01" + `"`)},
		{name: "byte order mark", body: "\ufeff" + is(``)},
		{name: "deep", body: is(`,"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000))},
		{name: "text after it", body: is(``) + `x`},
		{name: "two documents", body: is(``) + is(``)},
		{name: "text after an empty object", body: `{}x`},
	} {
		rows, empty, err := decodeRows([]byte(test.body), test.kind)
		switch {
		case test.want == nil && (!errors.Is(err, ErrIncomplete) || len(fmt.Sprint(err)) > 200):
			t.Errorf("%s: rows = %v, %v, want an error that matches ErrIncomplete", test.name, rows, err)
		case test.want != nil && (err != nil || empty != strings.HasPrefix(test.body, "{") || !cmp.Equal(append([]PrincipalRow{}, rows...), test.want)):
			t.Errorf("%s: rows = %+v, %t, %v, want %+v", test.name, rows, empty, err, test.want)
		}
	}
	whole := is(`,"memberships":[{"id":"` + id + `"}],"x":{"y":[1]}`)
	for i := range whole {
		if _, _, err := decodeRows([]byte(whole[:i]), User); !errors.Is(err, ErrIncomplete) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}
