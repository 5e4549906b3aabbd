package codes

import (
	"path"
	"slices"
	"sort"
	"strings"
)

// profiles reads how each acquirer's codes are read: the profiles, their rules and the rows they put over the base
// scheme's.
func (p *parser) profiles() {
	isScheme := func(name string) bool { _, ok := p.k.Scheme(name); return ok }
	seen := lines{}
	for _, r := range p.rows("profiles.tsv", "name", "zh", "en", "base", "also", "source", "track1") {
		q := Profile{
			Name:   r.once(seen, "name"),
			Title:  r.text("zh", "en"),
			Base:   r.must("base"),
			Also:   r.listOf("also", "scheme", isScheme),
			Source: r.str("source"),
			Track1: r.one("track1", "yes", "no") == "yes",
		}
		if !isScheme(q.Base) {
			r.problem("column base: no scheme %q", q.Base)
		}
		if _, ok := p.k.Source(q.Source); !ok && q.Source != "" {
			r.problem("column source: no source %q", q.Source)
		}
		p.k.Profiles = append(p.k.Profiles, q)
	}
	sort.Slice(p.k.Profiles, func(i, j int) bool { return p.k.Profiles[i].Name < p.k.Profiles[j].Name })

	for _, r := range p.rows("rules.tsv", "profile", "pattern", "note") {
		q := p.k.profile(r.must("profile"))
		if q == nil {
			r.problem("no profile %q", r.str("profile"))
			continue
		}
		rule := Rule{r.must("pattern"), r.str("note")}
		if first, last := strings.IndexByte(rule.Pattern, 'x'), strings.LastIndexByte(rule.Pattern, 'x'); first < 0 ||
			strings.Count(rule.Pattern, "x") != last-first+1 {
			r.problem("pattern %q: the code needs one run of x", rule.Pattern)
		}
		q.Rules = append(q.Rules, rule)
	}
	for _, file := range p.names("overrides") {
		q := p.k.profile(strings.TrimSuffix(path.Base(file), ".tsv"))
		if q == nil {
			p.problem(file, 0, "no profile of this name in profiles.tsv")
			continue
		}
		p.meanings(file, q.Base, &q.Overrides)
		sortMeanings(q.Overrides)
	}
}

func (k *Knowledge) profile(name string) *Profile {
	i, ok := slices.BinarySearchFunc(k.Profiles, name,
		func(p Profile, name string) int { return strings.Compare(p.Name, name) })
	if !ok {
		return nil
	}
	return &k.Profiles[i]
}
