package desired

import "iter"

// maxComparisons bounds the search for the names that were meant, which is the
// product of the unknown names and the known ones.
const maxComparisons = 1_000_000

// speller finds the name that a misspelt one was meant to be.
type speller struct{ budget int }

// nearest gives the name among known that differs from name in the fewest
// letters, if there is one near enough to be meant.
func (s *speller) nearest(name string, known iter.Seq[string]) (string, bool) {
	const longest = 64
	if name == "" || len(name) > longest {
		return "", false
	}
	// One slip in three letters: "asn" for "asm", but not "mtu" for "vni".
	best, limit := "", max(len(name)/3, 1)
	for k := range known {
		if s.budget--; s.budget < 0 {
			return "", false
		}
		if len(k) > longest || len(k) > len(name)+limit || len(name) > len(k)+limit {
			continue
		}
		if d := distance(fold(name), fold(k)); d <= limit && (best == "" || d < limit) {
			best, limit = k, d
		}
	}
	return best, best != ""
}

// fold leaves out what people confuse: case, and the - and _ between words.
func fold(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c == '-' || c == '_':
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, prev[j]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
