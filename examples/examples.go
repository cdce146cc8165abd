// Package examples holds the example policies and the simulated company that
// they are written for, so that the commands sim and demo work from any folder.
//
// environment.yaml is the company, licences.json what "privsync licences learn" says
// of it, policy.yaml the policy of the demo, and policies/ has one policy for each
// thing that a policy can say. All of them are planned by a test of the command. The recipes in ci/, cron/ and fleet/ are not embedded.
package examples

import "embed"

// Files holds the example policies and the environment, under the names that
// they have in this folder.
//
//go:embed environment.yaml licences.json policy.yaml policies
var Files embed.FS
