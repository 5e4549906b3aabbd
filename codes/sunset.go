package codes

import (
	"slices"
	"time"
)

// A Sunset says that an operator has switched off, or will switch off, some generations of radio technology.
type Sunset struct {
	Country  string   // ISO 3166, two letters
	Operator string   // its name
	Networks []string // MCC and MNC: 310410
	Techs    []string // 2g 3g 4g
	Off      string   // the last day, 2022-02-22; "never" where there was no such network
	Source   string
}

const (
	neverOn   = "never"
	sunsetDay = "2006-01-02"
)

// generations are those of radio technology, from the oldest.
var generations = []string{"2g", "3g", "4g", "5g"}

// SwitchedOff returns the day on which an operator's network loses, or lost, the last technology that a modem can use;
// operator is its MCC and MNC (310410), best the newest technology of the modem (2g 3g 4g 5g). ok is false if one of
// them stays, or the table does not know the network.
func (k *Knowledge) SwitchedOff(operator, best string) (day time.Time, ok bool) {
	newest := slices.Index(generations, best)
	if newest < 0 || operator == "" {
		return day, false
	}
	for _, g := range generations[:newest+1] {
		off, known := k.sunset(operator, g)
		if !known {
			return day, false
		}
		if off.After(day) {
			day = off
		}
	}
	return day, !day.IsZero()
}

func (k *Knowledge) sunset(operator, tech string) (off time.Time, known bool) {
	for i := range k.Sunsets {
		s := &k.Sunsets[i]
		if !slices.Contains(s.Networks, operator) || !slices.Contains(s.Techs, tech) {
			continue
		}
		off, _ = time.Parse(sunsetDay, s.Off) // "never" is no day and the zero time: before all others
		return off, true
	}
	return off, false
}

// sunsets reads the networks that were switched off. A pack made before there was such a table has none.
func (p *parser) sunsets() {
	const file = "sunsets.tsv"
	if _, there := p.files[file]; !there {
		return
	}
	seen := lines{}
	for _, r := range p.rows(file, "country", "operator", "networks", "tech", "off", "source") {
		s := Sunset{Country: r.must("country"), Operator: r.must("operator"), Networks: r.list("networks"), Off: r.must("off"), Source: r.must("source"),
			Techs: r.listOf("tech", "technology", func(w string) bool { return slices.Contains(generations, w) })}
		if _, err := time.Parse(sunsetDay, s.Off); err != nil && s.Off != neverOn {
			r.problem("column off: %q is no day as 2022-02-22, and not %s", s.Off, neverOn)
		}
		if len(s.Networks) == 0 || len(s.Techs) == 0 {
			r.problem("a row needs a network and a technology")
		}
		for _, n := range s.Networks {
			if len(n) != 5 && len(n) != 6 || !digits(n) {
				r.problem("column networks: %q is no MCC and MNC, such as 310410", n)
			}
			for _, t := range s.Techs {
				if line, twice := seen[n+t]; twice {
					r.problem("%s of %s stands in line %d already", t, n, line)
				}
				seen[n+t] = r.line
			}
		}
		p.k.Sunsets = append(p.k.Sunsets, s)
	}
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
