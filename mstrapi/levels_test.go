package mstrapi

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHeldWithoutLevel: a privilege whose level the answer does not tell, or by a
// word that is none, has that of the catalogue, whatever was asked for.
func TestHeldWithoutLevel(t *testing.T) {
	const catalogue = `[{"id":"1","name":"Create application objects","isProjectLevelPrivilege":true},{"id":53,"name":"Monitor Database Connections","isProjectLevelPrivilege":false}]`
	held := func(level Level, ids ...PrivilegeID) []Held {
		out := []Held{}
		for _, id := range ids {
			out = append(out, Held{ID: id, Level: level, Direct: true})
		}
		return out
	}
	direct := func(privilege string) string {
		return `{"privilege":` + privilege + `,"sources":[{"direct":true}]}`
	}
	tests := []struct {
		name, body string
		level      Level
		want       []Held // nil: incomplete
	}{
		{"missing, server-level", direct(`{"id":53}`), LevelServer, held(LevelServer, 53)},
		{"missing, of another level", direct(`{"id":1}`), LevelServer, held(LevelServer)},
		{"another word", direct(`{"id":53,"level":"Server-Ebene"}`) + "," + direct(`{"id":1,"level":""}`), LevelProject, held(LevelProject, 1)},
		{"all", direct(`{"id":53,"level":null}`), LevelAll, held(LevelServer, 53)},
		{"told", direct(`{"id":2,"level":"server"}`), LevelServer, held(LevelServer, 2)},
		{"in neither", direct(`{"id":53}`) + "," + direct(`{"id":2}`), LevelServer, nil},
		{"in neither, all", direct(`{"id":2,"level":"?"}`), LevelAll, nil},
	}
	for _, test := range tests {
		f := newFake(t)
		f.answer("GET /api/iserver/privileges", catalogue)
		f.answer("GET /api/users/{id}/privileges", `{"privileges":[`+test.body+`]}`)
		got, err := f.writer(t).Held(t.Context(), User, userAdmins, test.level)
		if (err != nil) != (test.want == nil) || err != nil && !errors.Is(err, ErrIncomplete) {
			t.Errorf("%s: Held = %v", test.name, err)
		} else if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: Held differs (-want +got):\n%s", test.name, diff)
		}
	}
}
