package planner

import "errors"

// Provenance is where a policy and a run came from, as flags or the variables of a CI
// system say. Nobody checked any of it, and nothing is decided from it: it is text
// from outside, clean and without credentials. Empty: it is not known.
type Provenance struct {
	Commit      string `json:"commit,omitempty"`
	Ref         string `json:"ref,omitempty"`         // branch or tag, as the system writes it
	PullRequest string `json:"pullRequest,omitempty"` // its number, as a rule
	Build       string `json:"build,omitempty"`       // link to the job that ran
	Author      string `json:"author,omitempty"`
}

// MaxProvenance bounds each member of a [Provenance], in bytes.
const MaxProvenance = 2000

// check refuses what this program never writes.
func (p *Provenance) check() error {
	if p != nil && max(len(p.Commit), len(p.Ref), len(p.PullRequest), len(p.Build), len(p.Author)) > 2*MaxProvenance {
		return errors.New("a member of source is too long")
	}
	return nil
}
