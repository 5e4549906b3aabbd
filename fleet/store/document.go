package store

import (
	"encoding/json"
	"strings"
	"time"

	"posdx/agent/report"
)

// A Document is one decoded message of a terminal. Exactly one of the pointers is set, by Kind; with a Reason none is,
// and the document is only counted.
type Document struct {
	At         report.Address
	Kind       string // as the topic names it; a reply's is "reply/ping"
	Epoch      string
	Boot, Seq  uint64 // Seq 0: not counted
	Historical bool
	Retained   bool // the broker's memory, not the terminal's voice
	Received   time.Time
	Size       int
	Body       json.RawMessage // the document inside the envelope; nil for a diagnosis, which is kept packed
	Packed     []byte          // the payload of a diagnosis as it is kept; Pack made it
	Approved   bool            // a tally that counts an approved sale

	Presence  *report.Presence
	Birth     *report.Birth
	Health    *report.Health
	Diagnosis *report.Diagnosis
	Tally     *report.Tally
	Dropped   *report.Dropped
	Reply     *report.Reply
	Outcome   *report.Outcome

	Reason string // why it is rejected; one of our own words, never the terminal's
}

// First is the leading explanation of a diagnosis; the zero Cause if there is none.
func First(d *report.Diagnosis) report.Cause {
	if len(d.Causes) == 0 {
		return report.Cause{ID: report.Unexplained, Segment: "unknown"}
	}
	return d.Causes[0]
}

// words is what the text filter looks through.
func words(at report.Address, d *report.Diagnosis) string {
	w := []string{at.Estate, at.Terminal, d.Event.Code, d.Code.Scheme, d.Code.Meaning, d.Money.Say, d.ID, d.Handoff}
	for _, c := range d.Causes {
		w = append(w, c.ID, c.Title)
	}
	return strings.ToLower(clean(strings.Join(w, " ")))
}

// clean takes out what a text column of PostgreSQL cannot hold.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}
