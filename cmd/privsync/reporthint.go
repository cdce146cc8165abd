package main

import (
	"net/http"
	"slices"

	"privsync/executor"
)

// reportHint says what to do about a run that its report says did not do everything.
// It names another apply only where that can do more than this one did.
func reportHint(report *executor.Report) string {
	const (
		says  = "the report says what and why for each; "
		again = "apply again to try what is left"
	)
	var left, refused, stale bool
	for _, p := range report.Principals {
		switch p.Outcome {
		case executor.Failed:
			if p.Error != nil && refusal(p.Error.Status) {
				refused = true
			} else {
				left = true
			}
		case executor.Stale:
			stale = true
		case executor.Unverified, executor.HeldBack, executor.NotAttempted, executor.UnknownState:
			left = true
		}
	}
	left = left || slices.ContainsFunc(report.Commands, func(c executor.CommandResult) bool { return c.Outcome != executor.CommandSucceeded })
	switch {
	case report.Error != nil && report.Error.Code == executor.CodeServerLock:
		return says + "see who has the server's lock (privsync unlock); when it is free, " + again
	case left && report.Error != nil && report.Error.Code == executor.CodeUnreachable:
		return says + "see that the server answers (privsync doctor), then " + again
	case left && refused:
		return says + "what the server refused it will refuse again until the account may do it or the policy asks for something else; " + again
	case left:
		return says + again
	case stale:
		return says + "somebody changed the stale ones meanwhile: plan again, and look at the new plan before it is applied"
	case refused:
		return says + "the server refused it and will again: have the account get the right that it lacks (privsync doctor), or correct the policy"
	}
	return says + "another apply changes nothing about it: correct the policy or the server"
}

// refusal reports whether an answer of that status says no, and will say so again.
func refusal(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusConflict && status != http.StatusTooManyRequests
}
