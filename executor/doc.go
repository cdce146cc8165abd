// Package executor carries out a plan and tells truthfully what came of it.
//
// [Apply] works in three waves: grants on groups, then users (grants before
// revokes, in one request), then revokes on groups. Every write is announced in
// a [Journal] before it is sent, and believed only after the principal was read
// back; a lost answer is never taken for done or for not done. The result is a
// [Report]: one [Result] per principal, with what was there before and after.
// [Audit] makes a report that only looks. [Report.Deliver] writes it, into a
// chain of reports ([VerifyChain]) if it goes to a folder.
//
// What outlives a run that died is in a [Store], by default a [Folder]: a
// [Lock] keeps two runs on one server apart, and [Recover] turns a journal into the
// report that the run could not write. [Rollback] makes the plan that undoes what a
// report says was done.
//
// The package decides nothing about who should hold what (package planner
// does), knows no HTTP (package mstrapi does), and renders nothing for people.
package executor
