package main

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/report"
)

// recentShown is how many diagnoses the state lists; posdx history has all.
const recentShown = 20

// pastDir is where the history lies.
func pastDir(c config) string { return filepath.Join(c.StateDir, "past") }

// A past is what this terminal remembers of its diagnoses, whoever has confirmed them: all of them on flash, the newest
// in memory for the state.
type past struct {
	keep *outbox.Past // nil where flash takes none
	log  *slog.Logger

	mu   sync.Mutex
	list []report.Recent // oldest first
	said string
}

func (p *past) open(keep *outbox.Past, dir string, log *slog.Logger) {
	p.keep, p.log = keep, log
	err := outbox.ReadPast(dir, func(d outbox.PastDoc) {
		var doc report.Diagnosis
		if json.Unmarshal(d.Doc, &doc) == nil && doc.ID != "" {
			p.note(&doc)
		}
	})
	if err != nil {
		log.Warn("history", "err", err)
	}
}

// note puts a diagnosis into the list; a later revision replaces the earlier one.
func (p *past) note(d *report.Diagnosis) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := report.InOneLine(d)
	if i := slices.IndexFunc(p.list, func(o report.Recent) bool { return o.ID == r.ID }); i >= 0 {
		p.list[i] = r
		return
	}
	p.list = append(p.list, r)
	if n := len(p.list) - recentShown; n > 0 {
		p.list = slices.Delete(p.list, 0, n)
	}
}

// recent are the newest n, newest first.
func (p *past) recent(n int) []report.Recent {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.list[max(len(p.list)-n, 0):])
	slices.Reverse(list)
	return list
}

// remember keeps a diagnosis that is final.
func (d *daemon) remember(doc *report.Diagnosis) {
	d.past.note(doc)
	d.tellSite(doc, time.Now())
	b, err := json.Marshal(doc)
	if err == nil {
		err = d.past.keep.Append(report.KindDiagnosis, doc.Event.Time, d.gate.Out(b))
	}
	why := ""
	if err != nil {
		why = err.Error()
	}
	if why != "" && why != d.past.said {
		d.log.Warn("history", "err", err)
	}
	d.past.said = why
}
