package triage

import (
	"context"
	"slices"
)

const (
	// mostIDs bounds the codes of which one diagnosis knows that it explains them.
	mostIDs = 32
	// mostClosed bounds what is remembered of diagnoses that are closed: which repeats they explain, and approvals, which
	// are kept nowhere else.
	mostClosed = 32
)

// A closed is a code of a diagnosis that is closed.
type closed struct {
	id string
	of string // id of the diagnosis that explains it
	ok *run   // of an approval, its answer
}

// Again returns the answers to a code that came before, by its id, in a language of the asker's own: those that were
// given, and those that are still to come. of is empty then; else the loop holds them no more, and of is the id of the
// diagnosis by which to look for them in the history. ErrBusy means that the loop has no time for it now.
func (l *Loop) Again(ctx context.Context, id, lang string) (t Ticket, of string, err error) {
	r := newRun()
	r.lang, r.again, r.found = lang, id, make(chan string, 1)
	if r.lang == "" {
		r.lang = l.c.Lang
	}
	select {
	case l.in <- r:
	default:
		return t, "", ErrBusy
	}
	select {
	case of = <-r.found:
		return Ticket{ID: id, First: r.first, Final: r.final}, of, nil
	case <-r.first: // closed: the loop ends
	case <-ctx.Done():
	}
	return t, "", ErrBusy
}

// find answers who asks again for an earlier code.
func (l *Loop) find(open []*run, r *run) {
	for _, o := range open {
		if slices.Contains(o.ids, r.again) {
			r.found <- ""
			l.repeat(o, r, false)
			return
		}
	}
	of := r.again
	for _, c := range l.closed {
		if c.id == r.again && c.ok != nil {
			r.found <- ""
			l.repeat(c.ok, r, false)
			return
		}
		if c.id == r.again {
			of = c.of
		}
	}
	r.found <- of
	r.end()
}

// explains notes that a diagnosis explains a code too.
func (r *run) explains(id string) {
	if len(r.ids) == mostIDs {
		r.ids = slices.Delete(r.ids, 1, 2) // the first is its own
	}
	r.ids = append(r.ids, id)
}

// forget keeps of a diagnosis that is closed, or of an approval, what the history does not tell.
func (l *Loop) forget(list ...closed) {
	l.closed = append(l.closed, list...)
	l.closed = slices.Delete(l.closed, 0, max(0, len(l.closed)-mostClosed))
}
