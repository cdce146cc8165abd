package planner

// everyoneReader is a reader that lists the members of the group Everyone where
// the server gives no list of users, and tells: [*mstrapi.Reader].
type everyoneReader interface {
	OnlyEveryone() bool
}

// onlyEveryone reports whether a list of users was one of the members of Everyone.
func (ob *observer) onlyEveryone() bool {
	r, ok := ob.r.(everyoneReader)
	return ok && r.OnlyEveryone()
}

// noteEveryone notes what onlyEveryone reports.
func (ob *observer) noteEveryone() {
	ob.st.onlyEveryone = ob.st.onlyEveryone || ob.onlyEveryone()
}
