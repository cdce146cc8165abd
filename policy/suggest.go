package policy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"privsync/clean"
)

// maxSuggestRunes bounds the names that are compared letter by letter; a longer
// one is suggested only if it is equal but for letter case.
const maxSuggestRunes = 128

// maxSuggestCandidates bounds how many candidates are compared letter by letter.
const maxSuggestCandidates = 5000

// Suggest returns the candidate that name most probably means: equal but for
// letter case, or at most a few letters (inserted, deleted, replaced or two
// neighbours swapped; one in four, three at most) away, or the only one that
// begins with name. It returns "" if none is near. Of several equally near the
// first in candidates wins.
func Suggest(name string, candidates []string) string {
	from := fold(name)
	limit := min(3, max(1, len(from)/4))
	best, bestDistance := "", limit+1
	longer, begun := "", 0
	for i, c := range candidates {
		if c == name {
			continue
		}
		if strings.EqualFold(c, name) {
			return c
		}
		if c != longer && len(name) >= 3 && len(c) > len(name) && strings.EqualFold(c[:len(name)], name) {
			longer = c
			begun++
		}
		if i >= maxSuggestCandidates || len(from) > maxSuggestRunes || len(c) > utf8.UTFMax*maxSuggestRunes {
			continue
		}
		n := utf8.RuneCountInString(c)
		if n > maxSuggestRunes || n-len(from) >= bestDistance || len(from)-n >= bestDistance {
			continue
		}
		if d := distance(from, fold(c), bestDistance-1); d < bestDistance && d < max(len(from), n) {
			best, bestDistance = c, d
		}
	}
	if best == "" && begun == 1 {
		return longer
	}
	return best
}

func fold(s string) []rune {
	rs := []rune(s)
	for i, r := range rs {
		rs[i] = unicode.ToLower(r)
	}
	return rs
}

// distance is the optimal string alignment distance of a and b, or limit+1 as
// soon as it is known to exceed limit.
func distance(a, b []rune, limit int) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		// Whatever is further off the diagonal than limit is further away than that.
		from, to := max(1, i-limit), min(len(b), i+limit)
		if from > to {
			return limit + 1
		}
		row[from-1] = limit + 1
		if from == 1 {
			row[0] = i
		}
		least := row[from-1]
		if to < len(b) {
			row[to+1] = limit + 1
		}
		for j := from; j <= to; j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			least = min(least, d)
		}
		if least > limit {
			return limit + 1
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit+1)
}

// maxSuggestions bounds how many misspelt names get a hint: nobody reads more, and
// each costs a look at all that could have been meant.
const maxSuggestions = 20

// didYouMean returns the hint for name, empty if nothing is near.
func didYouMean(name string, candidates []string) string {
	if s := Suggest(name, candidates); s != "" {
		if how := Difference(name, s); how != "" && !strings.EqualFold(name, s) {
			return fmt.Sprintf("did you mean %s? %s", clean.Quote(s), how)
		}
		return fmt.Sprintf("did you mean %s?", clean.Quote(s))
	}
	return ""
}
