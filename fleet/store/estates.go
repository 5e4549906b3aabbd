package store

import (
	"slices"
	"strings"
)

// Estates are those that a reader may see: nil is all of them, an empty list none. Every query for a reader takes them
// as an argument.
type Estates []string

// Has tells whether the reader may see an estate.
func (e Estates) Has(estate string) bool { return e == nil || slices.Contains(e, estate) }

// only is the condition on a column that holds an estate, with its arguments; empty where nothing is restricted.
func (e Estates) only(column string) (string, []any) {
	if e == nil {
		return "", nil
	}
	args := make([]any, len(e))
	for i, estate := range e {
		args[i] = clean(estate)
	}
	if len(e) == 0 {
		return "1 = 0", nil
	}
	return column + " IN (" + strings.TrimSuffix(strings.Repeat("?, ", len(e)), ", ") + ")", args
}
