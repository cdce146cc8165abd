package policy

import (
	"bytes"
	"fmt"
)

const (
	// maxValues bounds how many values (keys, items, texts) the files of a policy
	// hold in all, which is what reading them takes time for.
	maxValues = 5_000_000
	// maxTree bounds how many values are in memory as nodes at once: a file that
	// cannot be read in chunks, or one chunk of it. A node costs up to a thousand
	// bytes while it is read.
	maxTree = 200_000
	// entryValues is what an entry takes of that besides what is written in it, and
	// itemValues what a set that is included takes, or a privilege that is forbidden or
	// in a set: they are larger in memory than other values.
	entryValues = 8
	itemValues  = 2
	// ruleValues is what a rule, a prerequisite or a set takes besides: each is larger in
	// memory, and takes time again in whatever is judged by it.
	ruleValues = 24
	// maxOverlays bounds the overlays of all files of a policy together.
	maxOverlays = 10_000
)

// account is what the files of a policy, read one after the other, may still hold
// together, and did.
type account struct {
	values  int // that may still come, see [maxValues]
	aliased int // values that aliases stand for so far, see [maxAliased]

	overlays int // that may still come; below zero: one too many came
}

func newAccount() *account { return &account{values: maxValues, overlays: maxOverlays} }

// valuesIn is at least how many values YAML text can hold: each but the first
// comes after a character that begins or divides something, and a colon is between
// two.
func valuesIn(data []byte) int {
	n := 1
	for _, b := range data {
		switch b {
		case ',', '[', '{', ':', '?', '-', '*', '&', '!':
			n++
		}
	}
	return n
}

// affordable reports whether text may be made a tree of nodes of, and says in the
// policy's problems if not. What it counts is spent.
func (p *parser) affordable(data []byte) bool {
	n := valuesIn(data)
	if n > maxTree {
		p.out.add(Position{p.file, 1, 1}, `write principals as a list of lines that begin with "- ", or divide the file`,
			fmt.Sprintf("more than %d values stand in one piece", maxTree))
		return false
	}
	return p.spendValues(n)
}

// ended reports whether the policy holds more than it may.
func (a *account) ended() bool { return a.values < 0 || a.overlays < 0 }

// spendValues takes n values from what the policy may hold.
func (p *parser) spendValues(n int) bool {
	ended := p.account.values < 0
	if p.account.values -= n; p.account.values >= 0 {
		return true
	}
	if ended {
		return false
	}
	p.out.add(Position{p.file, 1, 1}, "grant groups instead of users, or use privilegeSets", fmt.Sprintf("the policy holds more than %d values", maxValues))
	return false
}

// plainBreaks replaces the line breaks of Windows, which mean the same to YAML, so
// that such a file can be read in chunks as well.
func plainBreaks(data []byte) []byte {
	if bytes.Contains(data, []byte("\r\n")) {
		return bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	}
	return data
}
