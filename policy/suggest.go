package policy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
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
		if len(name) >= 3 && len(c) > len(name) && strings.EqualFold(c[:len(name)], name) {
			longer = c
			begun++
		}
		n := utf8.RuneCountInString(c)
		if i >= maxSuggestCandidates || len(from) > maxSuggestRunes || n > maxSuggestRunes || n-len(from) >= bestDistance || len(from)-n >= bestDistance {
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
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
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
	return last[len(b)]
}

// didYouMean returns the hint for name, empty if nothing is near.
func didYouMean(name string, candidates []string) string {
	if s := Suggest(name, candidates); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	return ""
}
