package config

import (
	"strings"
	"unicode/utf8"
)

// Nearest returns the known word that a person most likely meant by word, or "" when
// none is near: at most a third of the letters wrong, swaps counted once. Of equally
// near ones the first wins.
func Nearest(word string, known []string) string {
	best, least := "", utf8.RuneCountInString(word)/3+1
	if len(word) > 64 {
		return ""
	}
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least || d == least && best == "" && d < len(k) {
			best, least = k, d
		}
	}
	return best
}

// distance is how many letters to insert, drop, change or swap with a neighbour turn a
// into b (optimal string alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	rows := make([][]int, len(s)+1)
	for i := range rows {
		rows[i] = make([]int, len(t)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(s); i++ {
		for j := 1; j <= len(t); j++ {
			change := rows[i-1][j-1]
			if s[i-1] != t[j-1] {
				change++
			}
			d := min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(s)][len(t)]
}

// didYouMean returns the end of a sentence about an unknown word: the nearest known one,
// else all of them.
func didYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return `; did you mean "` + near + `"?`
	}
	if len(known) == 0 {
		return ""
	}
	return "; known are " + strings.Join(known, ", ")
}
