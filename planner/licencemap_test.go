package planner

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"privsync/mstrapi"
	"privsync/policy"
)

func sampleMap() *LicenceMap {
	return &LicenceMap{
		Format: LicenceMapFormat, CreatedAt: time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC),
		Environment: MapEnvironment{URL: "https://bi.example.com/MicroStrategyLibrary", IServerVersion: "11.4.0000.0100"},
		Source:      Principal{Kind: mstrapi.User, ID: "54F3D26011D2896560009A8E67019608", Name: "Admin \"x\"", Login: "administrator"},
		Products:    []MappedProduct{{ID: 2, Name: "CLIENT_WEB", Privileges: []PrivilegeRef{{17, "Web administration"}}}},
		NotRead:     []LicenceProduct{{ID: 3, Name: "CLIENT_APPLICATION"}},
		NoProduct:   []PrivilegeRef{{50, "Use User Manager"}}, Unknown: []UnknownPrivilege{{PrivilegeRef{51, "Monitor Jobs"}, true}, {PrivilegeRef: PrivilegeRef{52, "Use Workstation"}}},
	}
}

func TestLicenceMapRoundTrip(t *testing.T) {
	m := sampleMap()
	var text bytes.Buffer
	if _, err := m.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	got, err := ParseLicenceMap("licences.json", text.Bytes())
	if err != nil {
		t.Fatalf("ParseLicenceMap(%s) = %v", text.Bytes(), err)
	}
	if !strings.HasPrefix(got.Digest, "sha256:") {
		t.Errorf("digest = %q", got.Digest)
	}
	var again bytes.Buffer
	if _, err := got.WriteTo(&again); err != nil || again.String() != text.String() {
		t.Errorf("written again: %s, %v", again.Bytes(), err)
	}
}

// What a server calls a product is JSON in the map, whatever it is: a text as Go writes
// it is none.
func TestLicenceMapIsJSON(t *testing.T) {
	m := sampleMap()
	m.Products[0].Name = "web\a\v\x00\u202e\"\\"
	var text bytes.Buffer
	if _, err := m.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	var got LicenceMap
	if err := json.Unmarshal(text.Bytes(), &got); err != nil || got.Products[0].Name != m.Products[0].Name {
		t.Errorf("the map reads %+v, %v: %s", got.Products, err, text.Bytes())
	}
}

// A broken map is an error at its position.
func TestLicenceMapProblems(t *testing.T) {
	var text bytes.Buffer
	if _, err := sampleMap().WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	good := text.String()
	for _, test := range []struct{ old, new, want string }{
		{`"format": "privsync/licences/v1"`, `"format": "privsync/licences/v9"`, "l.json:2:13: not a licence map"},
		{`"id": 2, "name": "CLIENT_WEB"`, `"id": 2, "name": "CLIENT_WEBB"`, `l.json:15:5: product 2 is not "CLIENT_WEBB"`},
		{`"id": 2,`, `"id": "2",`, "l.json:15:12: does not match"},
		{`"unknown": [`, `"more": 1, "unknown": [`, "l.json:1:1: does not match"},
		{`"id":51`, `"id":17`, "l.json:24:5: privilege 17 stands in two places"},
		{`"held":true`, `"held":false`, "l.json:24:43: does not match"},
		{`"unknown": [`, `"unknown": [], "unknown": [`, `"unknown" stands twice`},
		{`"unknown": [`, `"unknown": [[`, "l.json:27:1: not a licence map"},
		{`"unknown": [`, `"unknown": ` + strings.Repeat("[", 1<<20), "values lie too deep in each other"},
		{"\n}\n", "\n} {}", "something follows"},
		{"\n}\n", "", "ends too early"},
		{good, "[]", "l.json:1:1: not a licence map"},
		{good, "", "ends too early"},
		{good, "s3cret", "l.json:1:1: not a licence map: it is no JSON from here on;"},
	} {
		_, err := ParseLicenceMap("l.json", []byte(strings.Replace(good, test.old, test.new, 1)))
		var problems policy.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want a problem with %q", test.new, err, test.want)
		}
	}
}
