// Package planner decides what would have to change on a server so that it
// matches a policy.
//
// [Observe] reads what is needed through the small [Reader] interface and
// returns a [State]: the principals that the policy covers, what each holds and
// why, and as much of the group structure as the decision needs. [Make] turns a
// policy and a state into a [Plan]; it is pure: the same input gives the same
// plan, and nothing that it is given changes. [Guards] judges a plan by its
// safety limits. [Plan.Seal], [Plan.WriteTo], [ReadPlan] and [Plan.CheckSaved]
// turn plans into documents that can be reviewed, kept and trusted. [Find] is for who
// names one user or group without a policy.
//
// The package never writes to a server and never shows anything to a person:
// applying is the executor's work, showing is the command's.
package planner
