package config

import "strings"

// nearest returns the path of the key that an operator most likely meant by an unknown one:
// a sibling that differs by case, dashes or a letter or two, else the only key of that name
// elsewhere. Empty: nothing is near.
func nearest(keys []Key, unknown string) string {
	section, name := splitPath(unknown)
	best, least := "", 1+min(2, (len(name)+1)/3)
	if len(name) > 64 {
		return ""
	}
	for _, k := range keys {
		parent, sibling := splitPath(k.Path)
		if parent != section {
			continue
		}
		if d := distance(fold(name), fold(sibling)); d < least {
			best, least = k.Path, d
		}
	}
	if best != "" {
		return best
	}
	for _, k := range keys {
		if _, other := splitPath(k.Path); fold(other) == fold(name) || k.Path == name {
			if best != "" {
				return "" // two places: neither is a good guess
			}
			best = k.Path
		}
	}
	return best
}

func splitPath(path string) (section, name string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

var foldKey = strings.NewReplacer("_", "", "-", "")

// fold makes maxInFlight, max-in-flight and max_in_flight one.
func fold(name string) string { return foldKey.Replace(strings.ToLower(name)) }

// distance is the Levenshtein distance of two short names, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
