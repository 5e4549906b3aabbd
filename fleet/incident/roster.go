package incident

import (
	"maps"
	"slices"
)

// A roster numbers the terminals of an estate and the values that they share, so that a look counts in lists.
type roster struct {
	names   []string // terminals, in the order of the alphabet
	number  map[string]int32
	dims    []string
	values  [][]string         // by dimension
	numbers []map[string]int32 // of these
	members [][]int            // by dimension and value, terminals
	coded   []int32            // of each terminal in turn the numbers of its values, -1 for none
}

func rosterOf(places map[string]Place) *roster {
	r := &roster{names: slices.Sorted(maps.Keys(places)), number: make(map[string]int32, len(places))}
	seen := map[string]bool{}
	for i, name := range r.names {
		r.number[name] = int32(i)
		for d := range places[name] {
			seen[d] = true
		}
	}
	r.dims = slices.Sorted(maps.Keys(seen))
	r.values, r.members = make([][]string, len(r.dims)), make([][]int, len(r.dims))
	r.coded = make([]int32, len(r.names)*len(r.dims))
	r.numbers = make([]map[string]int32, len(r.dims))
	for d := range r.numbers {
		r.numbers[d] = map[string]int32{}
	}
	for i, name := range r.names {
		p := places[name]
		for d, dim := range r.dims {
			v := int32(-1)
			if value := p[dim]; value != "" {
				var ok bool
				if v, ok = r.numbers[d][value]; !ok {
					v = int32(len(r.values[d]))
					r.numbers[d][value] = v
					r.values[d], r.members[d] = append(r.values[d], value), append(r.members[d], 0)
				}
				r.members[d][v]++
			}
			r.coded[i*len(r.dims)+d] = v
		}
	}
	return r
}

// value is the number of a terminal's value of a dimension, -1 if it has none.
func (r *roster) value(terminal, dim int) int { return int(r.coded[terminal*len(r.dims)+dim]) }

// of is how many terminals have a value.
func (r *roster) of(dim, value string) int {
	if d := slices.Index(r.dims, dim); d >= 0 {
		if v, ok := r.numbers[d][value]; ok {
			return r.members[d][v]
		}
	}
	return 0
}

// shared is the value of a dimension that all terminals have in common, empty if they have none.
func (r *roster) shared(dim string) string {
	d := slices.Index(r.dims, dim)
	if d < 0 || len(r.values[d]) != 1 || r.members[d][0] < len(r.names) {
		return ""
	}
	return r.values[d][0]
}

// count is by dimension and value how many of some terminals have it.
func (r *roster) count(terminals []int32) [][]int32 {
	count := make([][]int32, len(r.dims))
	for d := range count {
		count[d] = make([]int32, len(r.values[d]))
		for _, t := range terminals {
			if v := r.value(int(t), d); v >= 0 {
				count[d][v]++
			}
		}
	}
	return count
}

// distinct sorts terminals and leaves each once.
func distinct(list []int32) []int32 {
	slices.Sort(list)
	return slices.Compact(list)
}
