package planner

import (
	"testing"

	"privsync/mstrapi"
)

func TestJudgedForAnotherActor(t *testing.T) {
	const manager mstrapi.PrivilegeID = 50
	me := Principal{Kind: mstrapi.User, ID: "0000000000000000000000000000000A", Name: "me"}
	group := Principal{Kind: mstrapi.Group, ID: "0000000000000000000000000000000B", Name: "admins"}
	other := Principal{Kind: mstrapi.User, ID: "0000000000000000000000000000000C", Name: "other"}
	direct := mstrapi.Held{ID: manager, Direct: true}
	inherited := mstrapi.Held{ID: manager, Groups: []mstrapi.ObjectRef{{ID: "0000000000000000000000000000000D", Name: "parent"}}}
	both := mstrapi.Held{ID: manager, Direct: true, Groups: inherited.Groups}
	tests := []struct {
		name   string
		from   []Principal
		held   []mstrapi.Held
		refuse bool
	}{
		{"nobody loses it", nil, []mstrapi.Held{direct}, false},
		{"somebody else loses it", []Principal{other}, []mstrapi.Held{direct}, false},
		{"own direct grant goes", []Principal{me}, []mstrapi.Held{direct}, true},
		{"own direct grant goes, inherited stays", []Principal{me}, []mstrapi.Held{both}, false},
		{"a group loses it, held directly", []Principal{group}, []mstrapi.Held{direct}, false},
		{"a group loses it, inherited through a parent", []Principal{group}, []mstrapi.Held{inherited}, true},
		{"group and own grant go", []Principal{me, group}, []mstrapi.Held{both}, true},
		{"not held at all", []Principal{group}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := &Plan{Actor: Actor{ID: other.ID, Name: other.Name}}
			for _, who := range tt.from {
				plan.Changes = append(plan.Changes, Change{Principal: who, Revoke: []PlannedPrivilege{{
					PrivilegeRef: PrivilegeRef{ID: manager, Name: ManagerPrivilege}, Reason: ReasonNotListed,
				}}})
			}
			if got, want := plan.MustJudge(Actor{ID: me.ID}), len(tt.from) > 0; got != want {
				t.Errorf("MustJudge(me) = %v, want %v", got, want)
			}
			if plan.MustJudge(plan.Actor) {
				t.Error("MustJudge(the plan's own actor) = true, want false: it was projected")
			}
			judged := plan.JudgedFor(Actor{ID: me.ID, Name: me.Name}, Observation{Held: tt.held})
			guards := Guards(judged, Overrides{})
			if got := len(guards) == 1 && guards[0].Name == GuardOwnPrivilege; got != tt.refuse {
				t.Errorf("Guards(JudgedFor(me)) = %+v, want refused = %v", guards, tt.refuse)
			}
			if got := len(Guards(plan.JudgedFor(Actor{}, Observation{}), Overrides{})) == 1; got != (len(tt.from) > 0) {
				t.Errorf("nobody knows who applies it: refused = %v, want %v", got, len(tt.from) > 0)
			}
			for i := range plan.Changes {
				plan.Changes[i].Revoke[0].Reason = ReasonRollback
			}
			if got, want := plan.MustJudge(plan.Actor), len(tt.from) > 0; got != want {
				t.Errorf("MustJudge of a rollback = %v, want %v", got, want)
			}
			if plan.Actor.ID != other.ID || plan.Safety.ActorLoses != nil {
				t.Errorf("JudgedFor changed its receiver: %+v", plan)
			}
		})
	}
}
