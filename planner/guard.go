package planner

// Guard is a limit that a plan exceeds. Guards are judged from the plan alone
// (see [Guards]), so that a saved plan can be judged again.
type Guard struct {
	Name      string      `json:"guard"`  // maxRevokes, maxChangedPrincipals, protected, ownPrivilege
	Actual    string      `json:"actual"` // the number that was exceeded with
	Limit     string      `json:"limit"`
	Message   string      `json:"message"`   // names the number, the limit and how to allow it
	Offenders []Principal `json:"offenders"` // at most ten, the worst first
	Allowed   bool        `json:"allowed"`   // an explicit flag allowed it
}
