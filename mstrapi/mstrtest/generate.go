package mstrtest

import (
	"fmt"

	"privsync/mstrapi"
)

// Shape of the environments of [Generate].
const (
	usersPerGroup   = 200
	groupsPerGroup  = 10 // groups in each group above
	directPatterns  = 64
	spareProjectIDs = 20
)

// Generate returns a regular environment for benchmarks: user0000001 and so on
// with the display name "User 1", each holding the given number of server-level
// privileges directly, in groups named "Team 1" … of 200 users, which are
// nested in groups named "Division 1" … of ten teams, and those in "Company".
// The groups hold nothing. The account [ServiceLogin] comes on top. Direct
// grants follow 64 patterns and share their memory, so that 100,000 users take
// some 30 MB.
func Generate(users, privileges int) *Environment {
	env := &Environment{Catalogue: catalogue(privileges+directPatterns, spareProjectIDs)}
	// The first entry is the user manager privilege, which nobody else gets.
	server := env.Catalogue[1 : privileges+directPatterns+1]
	patterns := make([][]mstrapi.PrivilegeID, directPatterns)
	for k := range patterns {
		for i := range privileges {
			patterns[k] = append(patterns[k], server[(i+k)%len(server)].ID)
		}
	}
	company := Group{ID: generatedID('C', 1), Name: "Company"}
	env.Groups = append(env.Groups, Group{ID: mstrapi.EveryoneGroup, Name: "Everyone"}, company)
	teams := (users + usersPerGroup - 1) / usersPerGroup
	divisions := (teams + groupsPerGroup - 1) / groupsPerGroup
	for i := range divisions {
		env.Groups = append(env.Groups, Group{
			ID: generatedID('D', i+1), Name: fmt.Sprintf("Division %d", i+1), Groups: []mstrapi.ObjectID{company.ID},
		})
	}
	memberships := make([][]mstrapi.ObjectID, teams)
	for i := range teams {
		team := Group{
			ID: generatedID('E', i+1), Name: fmt.Sprintf("Team %d", i+1),
			Groups: []mstrapi.ObjectID{generatedID('D', i/groupsPerGroup+1)},
		}
		env.Groups = append(env.Groups, team)
		memberships[i] = []mstrapi.ObjectID{team.ID}
	}
	env.Users = make([]User, 0, users+1)
	env.Users = append(env.Users, service())
	for i := range users {
		env.Users = append(env.Users, User{
			ID: generatedID('A', i+1), Login: fmt.Sprintf("user%07d", i+1), Name: fmt.Sprintf("User %d", i+1),
			Groups: memberships[i/usersPerGroup], Privileges: patterns[i%directPatterns],
		})
	}
	return env
}

// generatedID is the id of the n-th object of a kind.
func generatedID(kind byte, n int) mstrapi.ObjectID {
	return mstrapi.ObjectID(fmt.Sprintf("%c0000000%024X", kind, n))
}
