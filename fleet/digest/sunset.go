package digest

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A Sunset is the day on which a carrier switches a kind of network off.
type Sunset struct {
	Carrier string // as in the terminals' labels; empty: all carriers
	Tech    string // 2g 3g 4g 5g
	Date    time.Time
}

var techs = []string{"2g", "3g", "4g", "5g"}

// ReadSunsets reads a CSV file whose first line names its columns: carrier, tech, date (2027-03-31). Further columns
// are ignored.
func ReadSunsets(r io.Reader) ([]Sunset, error) {
	c := csv.NewReader(r)
	c.Comment = '#'
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("read sunsets: %w", err)
	}
	column := map[string]int{}
	for i, name := range head {
		column[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))] = i
	}
	for _, name := range []string{"carrier", "tech", "date"} {
		if _, ok := column[name]; !ok {
			return nil, fmt.Errorf("read sunsets: no column %s in the first line; want carrier, tech, date", name)
		}
	}
	var list []Sunset
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read sunsets: %w", err)
		}
		line, _ := c.FieldPos(0)
		s := Sunset{Carrier: strings.TrimSpace(row[column["carrier"]]), Tech: strings.ToLower(strings.TrimSpace(row[column["tech"]]))}
		if !slices.Contains(techs, s.Tech) {
			return nil, fmt.Errorf("read sunsets: line %d: tech %q: want one of %s", line, s.Tech, strings.Join(techs, " "))
		}
		if s.Date, err = time.Parse(time.DateOnly, strings.TrimSpace(row[column["date"]])); err != nil {
			return nil, fmt.Errorf("read sunsets: line %d: date %q: want it as 2027-03-31", line, row[column["date"]])
		}
		list = append(list, s)
	}
}

// sunset is when the network that a terminal uses ends: what its carrier says goes before what is said of all.
func sunset(list []Sunset, carrier, tech string) (Sunset, bool) {
	for _, whose := range []string{carrier, ""} {
		for _, s := range list {
			if s.Carrier == whose && s.Tech == tech {
				return s, true
			}
		}
	}
	return Sunset{}, false
}
