package triage

import (
	"encoding/json"
	"slices"
	"time"

	"posdx/agent/report"
)

const (
	// awaited is how long a diagnosis may wait for what becomes of it.
	awaited = 24 * time.Hour
	// maxAwaited bounds how many do.
	maxAwaited = 8
)

// A pending is a diagnosis of which it is not known what became of it. It belongs to the loop's goroutine.
type pending struct {
	id, code, cause string
	check, subject  string // of what was found broken; empty where the first cause rests on no check
	since           time.Time
	mended          bool      // it was seen well since
	sold            time.Time // when a sale went well while it was last seen broken; zero if none did
}

// await begins to wait for the outcome of a final diagnosis. A diagnosis of the same code is itself an outcome of the
// one before: what had been repaired did not help.
func (h *history) await(d *report.Diagnosis, now time.Time) (told []report.Outcome) {
	h.pending = slices.DeleteFunc(h.pending, func(p *pending) bool {
		if p.code != d.Event.Code || p.id == d.ID {
			return p.id == d.ID
		}
		if p.mended {
			told = append(told, p.outcome(report.OutcomeRefuted, now))
		}
		return true
	})
	if d.Abstained || len(d.Causes) == 0 || d.Causes[0].ID == report.Unexplained || d.Causes[0].ID == "none" {
		return told
	}
	p := &pending{id: d.ID, code: d.Event.Code, cause: d.Causes[0].ID, since: now}
	p.check, p.subject = decisive(d)
	if h.pending = append(h.pending, p); len(h.pending) > maxAwaited {
		h.pending = slices.Delete(h.pending, 0, 1)
	}
	return told
}

// decisive returns the check that found something broken and speaks most for the first cause.
func decisive(d *report.Diagnosis) (check, subject string) {
	for _, r := range d.Causes[0].For {
		for _, e := range d.Evidence {
			if e.Check == r.Check && e.Status == report.Bad && e.Check != "txn.answer" && e.Check != "txn.history" && e.Check != "fleet.advisory" {
				return e.Check, e.Subject
			}
		}
	}
	return "", ""
}

// look compares what was found broken with what is known now.
func (h *history) look(known []report.Evidence, now time.Time) (told []report.Outcome) {
	h.pending = slices.DeleteFunc(h.pending, func(p *pending) bool {
		if now.Sub(p.since) > awaited {
			told = append(told, p.outcome(report.OutcomeUntested, now))
			return true
		}
		if !p.sold.IsZero() {
			// What was seen before that sale may have been put right before it; a look after it tells.
			switch p.state(known, p.sold) {
			case report.OK:
				told = append(told, p.outcome(report.OutcomeBorneOut, now))
				return true
			case report.Bad:
				told = append(told, p.outcome(report.OutcomeRefuted, now))
				return true
			}
			return false
		}
		if s := p.state(known, p.since); !p.mended && s == report.OK {
			p.mended = true
			told = append(told, p.outcome(report.OutcomeMended, now))
		} else if s == report.Bad {
			p.mended = false // it came and went: nothing was put right
		}
		return false
	})
	return told
}

// sold takes in that a sale went well.
func (h *history) sold(known []report.Evidence, now time.Time) (told []report.Outcome) {
	h.pending = slices.DeleteFunc(h.pending, func(p *pending) bool {
		switch s := p.state(known, p.since); {
		case !p.sold.IsZero():
			return false
		case p.check == "":
			told = append(told, p.outcome(report.OutcomeMended, now))
		case p.mended || s == report.OK:
			told = append(told, p.outcome(report.OutcomeBorneOut, now))
		case s == report.Bad:
			p.sold = now
			return false
		default:
			told = append(told, p.outcome(report.OutcomeMended, now))
		}
		return true
	})
	return told
}

// state is how the check that decided stands by a look after a time; empty where there was none.
func (p *pending) state(known []report.Evidence, after time.Time) report.Status {
	for _, e := range known {
		if e.Check == p.check && e.Subject == p.subject && e.At.After(after) {
			return e.Status
		}
	}
	return ""
}

func (p *pending) outcome(what string, now time.Time) report.Outcome {
	return report.Outcome{Diagnosis: p.id, Cause: p.cause, Outcome: what, Check: p.check, Subject: p.subject,
		Time: now.UTC().Truncate(time.Millisecond)}
}

// tellOutcomes keeps what became of the last diagnosis for the people at the terminal, and hands everything on.
func (l *Loop) tellOutcomes(list []report.Outcome) {
	for _, o := range list {
		l.mu.Lock()
		if l.haveLast && l.last.ID == o.Diagnosis {
			l.outcome = o
		}
		l.mu.Unlock()
		doc, err := json.Marshal(o)
		if err != nil {
			l.c.Log.Error("outcome", "id", o.Diagnosis, "err", err)
			continue
		}
		if l.c.Outcome != nil {
			l.c.Outcome(doc)
		}
	}
}

// Look has the loop compare its diagnoses with what the checks find now.
func (l *Loop) Look() {
	l.tell(func(h *history) {
		now := time.Now()
		l.tellOutcomes(h.look(l.c.Runner.Known(now), now))
	})
}

// Outcome returns the outcome of the newest diagnosis; false as long as there is none.
func (l *Loop) Outcome() (report.Outcome, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outcome, l.haveLast && l.outcome.Diagnosis == l.last.ID && l.outcome.Outcome != ""
}
