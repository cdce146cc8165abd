package mstrapi

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sampleHeld is the vendor's own sample of an answer.
const sampleHeld = `{
  "privileges": [
    {
      "privilege": {
        "id": "2",
        "name": "Create configuration objects",
        "description": "This is the privilege required to create a configuration-level object.",
        "level": "server"
      },
      "sources": [
        {
          "direct": false,
          "group": {
            "name": "User Administrators",
            "id": "17CD5CDB43085A8A52533B86A05DCB3A"
          }
        },
        {
          "direct": false,
          "group": {
            "name": "System Administrators",
            "id": "5F3FAFE111D2D8CC6000CC8E67019608"
          }
        }
      ]
    },
    {
      "privilege": {
        "id": "53",
        "name": "Monitor Database Connections",
        "description": "Allow the user to monitor database connections and view connection details.",
        "level": "server"
      },
      "sources": [
        {
          "direct": true
        }
      ]
    }
  ]
}`

// entry returns an answer with one privilege.
func entry(privilege, sources string) string {
	return `{"privileges":[{"privilege":` + privilege + `,"sources":` + sources + `}]}`
}

const groupSource = `{"direct":false,"group":{"name":"User Administrators","id":"17CD5CDB43085A8A52533B86A05DCB3A"}}`

var admins = ObjectRef{ID: userAdmins, Name: "User Administrators"}

func TestDecodeHeld(t *testing.T) {
	server := func(id PrivilegeID, h Held) []Held {
		h.ID, h.Level = id, LevelServer
		return []Held{h}
	}
	tests := []struct {
		name, body string
		level      Level
		want       []Held
	}{
		{"sample", sampleHeld, LevelServer, []Held{
			{ID: 2, Level: LevelServer, Groups: []ObjectRef{admins, {ID: sysAdmins, Name: "System Administrators"}}},
			{ID: 53, Level: LevelServer, Direct: true},
		}},
		{"none", `{"privileges":[]}`, LevelServer, []Held{}},
		{"unknown keys", `{"x":{"privileges":null},"privileges":[],"y":[1,-2.5e+3,"\u00e9\"",true,false,null,{}]}`, LevelServer, []Held{}},
		{"integer id", entry(`{"id":2,"level":"server"}`, `[{"direct":true}]`), LevelServer, server(2, Held{Direct: true})},
		{"level left out", entry(`{"id":2}`, `[{"direct":true}]`), LevelServer, []Held{{ID: 2, Direct: true}}},
		{"level of another word", entry(`{"id":2,"level":"Server-Ebene"}`, `[{"direct":true}]`), LevelServer, []Held{{ID: 2, Direct: true}}},
		{"level left out, all asked", entry(`{"id":2}`, `[{"direct":true}]`), LevelAll, []Held{{ID: 2, Direct: true}}},
		{"level in capitals", entry(`{"id":2,"level":"SERVER"}`, `[{"direct":true}]`), LevelServer, server(2, Held{Direct: true})},
		{"another level", entry(`{"id":2,"level":"project"}`, `[`+groupSource+`]`), LevelServer, []Held{}},
		{"another level, all asked", entry(`{"id":2,"level":"project"}`, `[{"direct":true}]`), LevelAll, []Held{{ID: 2, Level: LevelProject, Direct: true}}},
		{"direct and inherited", entry(`{"id":2,"level":"server"}`, `[{"direct":true},`+groupSource+`]`), LevelServer, server(2, Held{Direct: true, Groups: []ObjectRef{admins}})},
		{"direct with a group", entry(`{"id":2,"level":"server"}`, `[{"direct":true,"group":{"id":"17CD5CDB43085A8A52533B86A05DCB3A"}}]`), LevelServer, server(2, Held{Direct: true})},
		{"group without direct", entry(`{"id":2,"level":"server"}`, `[{"group":{"id":"17cd5cdb43085a8a52533b86a05dcb3a","name":"User Administrators"}}]`), LevelServer, server(2, Held{Groups: []ObjectRef{admins}})},
		{"group twice", entry(`{"id":2,"level":"server"}`, `[`+groupSource+`,`+groupSource+`]`), LevelServer, server(2, Held{Groups: []ObjectRef{admins}})},
		{"security role", entry(`{"id":2,"level":"server"}`, `[{"direct":false,"securityRole":{"id":"x"}}]`), LevelServer, server(2, Held{Roles: []RoleRef{{}}})},
		{"security role in a project", entry(`{"id":2,"level":"server"}`, `[{"direct":false,"securityRole":{"name":"Power Users","id":"17cd5cdb43085a8a52533b86a05dcb3a"},"project":{"id":"B19DEDCC11D4E0EFC000EB9495D0F44F","name":"Tutorial"}}]`), LevelServer,
			server(2, Held{Roles: []RoleRef{{Role: ObjectRef{ID: userAdmins, Name: "Power Users"}, Project: ObjectRef{ID: "B19DEDCC11D4E0EFC000EB9495D0F44F", Name: "Tutorial"}}}})},
		{"another source", entry(`{"id":2,"level":"server"}`, `[{"direct":false,"licence":{}}]`), LevelServer, server(2, Held{Other: true})},
		{"nulls", entry(`{"id":2,"level":null}`, `[{"direct":null,"group":null}]`), LevelServer, []Held{{ID: 2, Other: true}}},
		{"escapes", entry(`{"\u0069d":"\u0032","level":"server"}`, `[{"group":{"name":"Caf\u00e9 \ud83d\ude00 \"\\","id":"17CD5CDB43085A8A52533B86A05DCB3A"}}]`), LevelServer,
			server(2, Held{Groups: []ObjectRef{{ID: userAdmins, Name: `Café 😀 "\`}}})},
		{"bytes that are no UTF-8", entry(`{"id":2,"level":"server"}`, `[{"group":{"name":"a`+"\xff"+`b\ud800","id":"17CD5CDB43085A8A52533B86A05DCB3A"}}]`), LevelServer,
			server(2, Held{Groups: []ObjectRef{{ID: userAdmins, Name: "a\ufffdb\ufffd"}}})},
		{"short name that is no UTF-8", entry(`{"id":2,"level":"server"}`, `[{"group":{"name":"a`+"\xff"+`b","id":"17CD5CDB43085A8A52533B86A05DCB3A"}}]`), LevelServer,
			server(2, Held{Groups: []ObjectRef{{ID: userAdmins, Name: "a\ufffdb"}}})},
		{"privilege twice", `{"privileges":[{"privilege":{"id":2,"level":"server"},"sources":[` + groupSource + `]},{"privilege":{"id":3,"level":"server"},"sources":[{"direct":true}]},{"privilege":{"id":"2","level":"server"},"sources":[{"direct":true},` + groupSource + `]}]}`, LevelServer,
			[]Held{{ID: 2, Level: LevelServer, Direct: true, Groups: []ObjectRef{admins}}, {ID: 3, Level: LevelServer, Direct: true}}},
		{"largest", entry(`{"id":"65535","level":"server"}`, `[{"direct":true}]`), LevelServer, server(65535, Held{Direct: true})},
	}
	for _, test := range tests {
		got, err := new(heldDecoder).decode([]byte(test.body), test.level)
		if err != nil {
			t.Errorf("%s: held = %v", test.name, err)
		} else if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: held differs (-want +got):\n%s", test.name, diff)
		}
		if want, err := referenceHeld([]byte(test.body), test.level); err != nil || !cmp.Equal(want, test.want) {
			t.Errorf("%s: the reference says %v, %v", test.name, want, err)
		}
	}
}

// Whatever is not understood must not be taken for few or no privileges.
func TestDecodeHeldRefuses(t *testing.T) {
	good := entry(`{"id":"2","level":"server"}`, `[{"direct":true}]`)
	bodies := map[string]string{
		"empty":                    ``,
		"white space":              " \n",
		"null":                     `null`,
		"list":                     `[]`,
		"empty object":             `{}`,
		"no privileges":            `{"privilege":[]}`,
		"other case":               `{"Privileges":[]}`,
		"null privileges":          `{"privileges":null}`,
		"privileges not a list":    `{"privileges":{}}`,
		"privileges twice":         `{"privileges":[{"privilege":{"id":2},"sources":[{"direct":true}]}],"privileges":[]}`,
		"error":                    `{"code":"ERR001","message":"x"}`,
		"html":                     `<html></html>`,
		"two documents":            good + good,
		"garbage after":            good + "x",
		"trailing comma":           `{"privileges":[],}`,
		"trailing comma in list":   `{"privileges":[` + entryOnly + `,]}`,
		"missing comma":            `{"privileges":[` + entryOnly + ` ` + entryOnly + `]}`,
		"entry null":               `{"privileges":[null]}`,
		"no privilege":             `{"privileges":[{"sources":[{"direct":true}]}]}`,
		"no sources":               `{"privileges":[{"privilege":{"id":"2"}}]}`,
		"sources null":             entry(`{"id":"2"}`, `null`),
		"sources empty":            entry(`{"id":"2"}`, `[]`),
		"source not an object":     entry(`{"id":"2"}`, `[true]`),
		"direct a string":          entry(`{"id":"2"}`, `[{"direct":"true"}]`),
		"unknown member twice":     `{"x":1,"privileges":[],"x":2}`,
		"direct twice":             entry(`{"id":"2"}`, `[{"direct":true,"direct":false}]`),
		"group without id":         entry(`{"id":"2"}`, `[{"group":{"name":"x"}}]`),
		"group with a short id":    entry(`{"id":"2"}`, `[{"group":{"name":"x","id":"17CD"}}]`),
		"group with a number name": entry(`{"id":"2"}`, `[{"group":{"name":7,"id":"17CD5CDB43085A8A52533B86A05DCB3A"}}]`),
		"id missing":               entry(`{"name":"x"}`, `[{"direct":true}]`),
		"id null":                  entry(`{"id":null}`, `[{"direct":true}]`),
		"id zero":                  entry(`{"id":0}`, `[{"direct":true}]`),
		"id negative":              entry(`{"id":-2}`, `[{"direct":true}]`),
		"id with a fraction":       entry(`{"id":2.0}`, `[{"direct":true}]`),
		"id with an exponent":      entry(`{"id":2e0}`, `[{"direct":true}]`),
		"id a word":                entry(`{"id":"two"}`, `[{"direct":true}]`),
		"id too large":             entry(`{"id":"65536"}`, `[{"direct":true}]`),
		"id huge":                  entry(`{"id":"99999999999999999999"}`, `[{"direct":true}]`),
		"level a number":           entry(`{"id":"2","level":1}`, `[{"direct":true}]`),
		"control character":        entry("{\"id\":\"2\",\"name\":\"a\nb\"}", `[{"direct":true}]`),
		"bad escape":               entry(`{"id":"2","name":"\x"}`, `[{"direct":true}]`),
		"bad unicode escape":       entry(`{"id":"2","name":"\u12g4"}`, `[{"direct":true}]`),
		"deep":                     `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `,"privileges":[]}`,
	}
	for i := range good {
		bodies[fmt.Sprintf("cut at %d", i)] = good[:i]
	}
	for name, body := range bodies {
		got, err := new(heldDecoder).decode([]byte(body), LevelServer)
		if !errors.Is(err, ErrIncomplete) || got != nil {
			t.Errorf("%s: held = %v, %v, want an error that matches ErrIncomplete", name, got, err)
		}
		if _, err := referenceHeld([]byte(body), LevelServer); err == nil {
			t.Errorf("%s: the reference accepts it", name)
		}
	}
}

const entryOnly = `{"privilege":{"id":"2"},"sources":[{"direct":true}]}`

func TestDecodeHeldWithManySources(t *testing.T) {
	var sources []string
	var want []ObjectRef
	for i := range 100 {
		id := testID(i % 40)
		sources = append(sources, fmt.Sprintf(`{"group":{"id":%q,"name":"n"}}`, id))
		if i < 40 {
			want = append(want, ObjectRef{ID: ObjectID(id), Name: "n"})
		}
	}
	got, err := new(heldDecoder).decode([]byte(entry(`{"id":"9"}`, `[`+strings.Join(sources, ",")+`]`)), LevelServer)
	if err != nil || len(got) != 1 {
		t.Fatalf("held = %v, %v", got, err)
	}
	if diff := cmp.Diff(want, got[0].Groups); diff != "" {
		t.Errorf("groups differ (-want +got):\n%s", diff)
	}
}

// Sources that begin like ones that stood there before but mean something else.
func TestDecodeHeldIsNotFooledByItsMemory(t *testing.T) {
	other := strings.Replace(groupSource, "User", "Other", 1)
	var bodies []string
	for _, sources := range []string{
		`{"direct":true},{"direct":true}`, `{"direct":true},{"direct":true}x`, `{"direct":true},{"direct":true,"direct":true}`, `{"direct":true},{"direct":false}`,
		`{"direct":true},{"direct":true,"group":null}`, groupSource + `,` + groupSource, groupSource + `,` + other, other + `,` + groupSource + `x`, `null,null`, groupSource + `,` + groupSource[1:],
	} {
		bodies = append(bodies, entry(`{"id":"2","level":"server"}`, `[`+sources+`]`),
			`{"privileges":[`+entryOnly+`,{"privilege":{"id":"3"},"sources":[`+sources+`]},{"sources":[`+sources+`],"privilege":{"id":"3"}}]}`)
	}
	var d heldDecoder
	for _, body := range append(bodies, bodies...) {
		got, err := d.decode([]byte(body), LevelAll)
		want, wantErr := referenceHeld([]byte(body), LevelAll)
		if (err == nil) != (wantErr == nil) || !cmp.Equal(got, want) {
			t.Errorf("held(%s) = %v, %v, the reference says %v, %v", body, got, err, want, wantErr)
		}
	}
}

// The result must outlive the body's buffer.
func TestDecodeHeldOwnsItsMemory(t *testing.T) {
	body := []byte(sampleHeld)
	got, err := new(heldDecoder).decode(body, LevelServer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = 'x'
	}
	want, _ := new(heldDecoder).decode([]byte(sampleHeld), LevelServer)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the first result has changed (-want +got):\n%s", diff)
	}
	// Growing one privilege's groups must not write over the next one's.
	two, err := new(heldDecoder).decode([]byte(`{"privileges":[{"privilege":{"id":1},"sources":[`+groupSource+`]},{"privilege":{"id":2},"sources":[`+groupSource+`]}]}`), LevelServer)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(two[0].Groups, ObjectRef{ID: sysAdmins})
	if two[1].Groups[0] != admins {
		t.Errorf("append to one privilege's groups changes another's: %v", two[1].Groups)
	}
}

func FuzzDecodeHeld(f *testing.F) {
	f.Add([]byte(sampleHeld))
	f.Add([]byte(`{"privileges":[]}`))
	f.Add([]byte(entry(`{"id":2,"level":"Server","name":"\u00e9\ud800"}`, `[{"direct":null},{"group":{"id":"17CD5CDB43085A8A52533B86A05DCB3A"}},`+groupSource+`]`)))
	f.Add([]byte(`{"privileges":[` + entryOnly + `,` + entryOnly + `],"a":[1.5e-7,"x\ty",{"b":null}]}`))
	var d heldDecoder
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, level := range []Level{LevelServer, LevelAll} {
			got, err := d.decode(body, level)
			want, wantErr := referenceHeld(body, level)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("held(%q) = %v, the reference says %v", body, err, wantErr)
			}
			if err != nil {
				if !errors.Is(err, ErrIncomplete) || got != nil {
					t.Fatalf("held(%q) = %v, %v", body, got, err)
				}
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("held(%q) differs (-reference +got):\n%s", body, diff)
			}
		}
	})
}
