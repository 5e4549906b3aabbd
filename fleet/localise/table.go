package localise

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// History is how far back the minutes reach that foretell the one to explain.
	History = 10 * time.Minute

	// pastCalls is how many calls at the rate of all a leaf's own past is mixed with.
	pastCalls = 100

	maxRows = 10_000_000
)

// Columns are the names of the columns that are not dimensions; every other column is one.
type Columns struct {
	Time   string // Unix seconds or RFC 3339
	Failed string
	Total  string
}

// A Table is the counts of a file: a row for each time and combination of values.
type Table struct {
	Dims []string
	rows []row
	past map[int64]bool // times in it
}

type row struct {
	at            int64
	values        []string
	failed, total float64
}

// Read reads a CSV file whose first line names the columns.
func Read(r io.Reader, c Columns) (*Table, error) {
	in := csv.NewReader(r)
	in.ReuseRecord = true
	head, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("empty: want a first line that names the columns")
	}
	if err != nil {
		return nil, err
	}
	head = slices.Clone(head)
	head[0] = strings.TrimPrefix(head[0], "\ufeff")
	t := &Table{past: map[int64]bool{}}
	at := map[string]int{}
	var dims []int
	for i, name := range head {
		if _, twice := at[name]; twice {
			return nil, fmt.Errorf("column %q stands twice in the first line", name)
		}
		at[name] = i
		if name != c.Time && name != c.Failed && name != c.Total {
			dims = append(dims, i)
			t.Dims = append(t.Dims, name)
		}
	}
	for _, name := range []string{c.Time, c.Failed, c.Total} {
		if _, ok := at[name]; !ok {
			return nil, fmt.Errorf("no column %q in the first line; it has %s", name, strings.Join(head, ", "))
		}
	}
	if len(dims) == 0 || len(dims) > MaxColumns {
		return nil, fmt.Errorf("%d dimensions beside time, failures and calls; want 1 to %d", len(dims), MaxColumns)
	}
	share := map[string]string{} // each value is kept once
	for {
		line, err := in.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		n, _ := in.FieldPos(0)
		if len(t.rows) == maxRows {
			return nil, fmt.Errorf("line %d: more than %d rows", n, maxRows)
		}
		v := row{values: make([]string, len(dims))}
		when, err := ParseTime(line[at[c.Time]])
		if err != nil {
			return nil, fmt.Errorf("line %d: column %s: %w", n, c.Time, err)
		}
		v.at = when.Unix()
		if v.failed, err = count(line[at[c.Failed]]); err != nil {
			return nil, fmt.Errorf("line %d: column %s: %w", n, c.Failed, err)
		}
		if v.total, err = count(line[at[c.Total]]); err != nil {
			return nil, fmt.Errorf("line %d: column %s: %w", n, c.Total, err)
		}
		for i, d := range dims {
			s, ok := share[line[d]]
			if !ok {
				s = strings.Clone(line[d])
				share[s] = s
			}
			v.values[i] = s
		}
		t.rows = append(t.rows, v)
		t.past[v.at] = true
	}
}

// ParseTime reads Unix seconds or RFC 3339.
func ParseTime(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: want Unix seconds or 2006-01-02T15:04:05Z", s)
}

func count(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0 && n <= 1e15) {
		return 0, fmt.Errorf("%q is not a count", s)
	}
	return n, nil
}

// At returns the leaves of one moment, each with the failures that the minutes before it, History at most, lead to
// expect.
func (t *Table) At(when time.Time) ([]Leaf, error) {
	at := when.Unix()
	if !t.past[at] {
		return nil, fmt.Errorf("no row at %d (%s)", at, when.UTC().Format(time.RFC3339))
	}
	type sums struct {
		values                             []string
		failed, total, before, beforeTotal float64
		past                               []Time
	}
	leaves := map[string]*sums{}
	var order []*sums
	var before, beforeTotal float64
	var key strings.Builder
	for i := range t.rows {
		r := &t.rows[i]
		if r.at > at || r.at < at-int64(History/time.Second) {
			continue
		}
		key.Reset()
		for _, v := range r.values {
			key.WriteString(strconv.Itoa(len(v)))
			key.WriteByte(' ')
			key.WriteString(v)
		}
		s := leaves[key.String()]
		if s == nil {
			s = &sums{values: r.values, past: make([]Time, History/time.Minute)}
			leaves[key.String()] = s
			order = append(order, s)
		}
		if r.at == at {
			s.failed, s.total = s.failed+r.failed, s.total+r.total
			continue
		}
		past := &s.past[(at-1-r.at)/60]
		past.Failed, past.Total = past.Failed+r.failed, past.Total+max(r.total, r.failed)
		s.before, s.beforeTotal = s.before+r.failed, s.beforeTotal+r.total
		before, beforeTotal = before+r.failed, beforeTotal+r.total
	}
	if beforeTotal == 0 {
		return nil, fmt.Errorf("no calls in the %.0f minutes before %d; nothing says what is normal", History.Minutes(), at)
	}
	rate := (before + 1) / (beforeTotal + 1)
	list := make([]Leaf, 0, len(order))
	for _, s := range order {
		l := Leaf{Values: s.values, Failed: s.failed, Total: max(s.total, s.failed), Past: s.past}
		if l.Total > 0 {
			l.Expected = l.Total * (s.before + pastCalls*rate) / (s.beforeTotal + pastCalls)
			list = append(list, l)
		}
	}
	return list, nil
}
