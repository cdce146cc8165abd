package planner

import (
	"errors"
	"strings"
	"testing"

	"privsync/mstrapi"
)

// TestUnreadRoleIsToldOfAlike: of several privileges that hang on a group that could not
// be read, every plan of a state names the same.
func TestUnreadRoleIsToldOfAlike(t *testing.T) {
	var list []mstrapi.Privilege
	var wanted Set
	for id := mstrapi.PrivilegeID(1); id <= 12; id++ {
		list = append(list, mstrapi.Privilege{ID: id, Name: "p" + id.String()})
		wanted.Add(id)
	}
	group := &Observed{Principal: Principal{Kind: mstrapi.Group, ID: mstrapi.EveryoneGroup, Name: "Everyone"}, Err: errors.New("HTTP 500")}
	for range 8 {
		st := &State{byID: map[mstrapi.ObjectID]*Observed{group.Principal.ID: group}}
		var held []mstrapi.Held
		for id := range wanted.All() {
			held = append(held, mstrapi.Held{ID: id, Groups: []mstrapi.ObjectRef{{ID: group.Principal.ID, Name: "Everyone"}}})
		}
		user := &Observed{Principal: Principal{Kind: mstrapi.User, ID: "6C9DFE134D0F8764893B469525E38EB0", Login: "demo"}}
		st.byID[user.Principal.ID] = user
		newInterner(&st.refs).put(user, setsOf(held))
		newLineage(st, new(needs)).settle(wanted, wanted, newPrivilegeIndex(list, mstrapi.LevelAll))
		if user.Err == nil || !strings.Contains(user.Err.Error(), `privilege 1 "p1"`) {
			t.Fatalf("the user's error is %v, want one of privilege 1", user.Err)
		}
	}
}
