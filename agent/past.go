package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"posdx/agent/internal/console"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/source"
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

	mu      sync.Mutex
	list    []report.Recent // oldest first
	unended []string        // ids of what an interruption left without its end, until that is made
	said    string
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

// resumes notes what is to be ended after an interruption.
func (p *past) resumes(list []report.Diagnosis) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range list {
		p.unended = append(p.unended, list[i].ID)
	}
}

// ended notes that a diagnosis has its end, and that the history has it.
func (p *past) ended(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unended = slices.DeleteFunc(p.unended, func(o string) bool { return o == id })
}

// isOpen tells whether the end of a diagnosis is still to be made after an interruption.
func (p *past) isOpen(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.unended, id)
}

// Again returns the answers to an earlier code by its id, in a language of the asker's own. What was explained before
// this start, or some time ago, stands in the history.
func (d *daemon) Again(ctx context.Context, id, lang string) (source.Ticket, error) {
	t, of, err := d.loop.Again(ctx, id, lang)
	switch {
	case err != nil:
		return source.Ticket{}, source.ErrBusy
	case of == "":
		return source.Ticket{ID: id, First: t.First, Final: t.Final}, nil
	case d.past.isOpen(of):
		return source.Ticket{ID: id}, nil
	}
	doc, err := findPast(pastDir(d.conf), of)
	if err != nil {
		return source.Ticket{}, err
	}
	*doc = console.InLanguage(*doc, d.lib.Now.Load(), d.profile, cmp.Or(lang, d.conf.Language))
	answer := make(chan report.Diagnosis, 1)
	answer <- *doc
	return source.Ticket{ID: id, First: answer, Final: answer}, nil
}

// findPast returns the newest revision of a diagnosis that is kept; source.ErrUnknown if there is none.
func findPast(dir, id string) (found *report.Diagnosis, err error) {
	mark := []byte(strconv.Quote(id)) // most are passed over without being read
	err = outbox.ReadPast(dir, func(p outbox.PastDoc) {
		var doc report.Diagnosis
		if bytes.Contains(p.Doc, mark) && json.Unmarshal(p.Doc, &doc) == nil && doc.ID == id && len(doc.Causes) > 0 {
			found = &doc
		}
	})
	if err == nil && found == nil {
		err = source.ErrUnknown
	}
	return found, err
}

// remember keeps a diagnosis that is final.
func (d *daemon) remember(doc *report.Diagnosis) {
	d.past.note(doc)
	d.tellSite(doc, time.Now())
	b, err := json.Marshal(doc)
	if err == nil {
		err = d.past.keep.Append(report.KindDiagnosis, doc.Event.Time, d.gate.Out(b))
	}
	d.past.ended(doc.ID)
	why := ""
	if err != nil {
		why = err.Error()
	}
	if why != "" && why != d.past.said {
		d.log.Warn("history", "err", err)
	}
	d.past.said = why
}
