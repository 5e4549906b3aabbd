package report

import "time"

// Became is a diagnosis as the fleet knows it together with what came of it.
type Became struct {
	Estate    string    `json:"estate"`
	Terminal  string    `json:"terminal"`
	Diagnosis string    `json:"diagnosis"`
	Code      string    `json:"code"`
	Cause     string    `json:"cause"`             // the first one that the diagnosis named
	P         float64   `json:"probability"`       // that the diagnosis gave that cause; 0: not known
	Outcome   string    `json:"outcome,omitempty"` // one of Outcomes, as the terminal told
	Found     string    `json:"found,omitempty"`   // a cause's id or FoundNothing, as people told; goes before Outcome
	At        time.Time `json:"at"`                // when the newest of these words came in
}

// FoundNothing is Became.Found where people found nothing wrong.
const FoundNothing = "none"

// Right tells whether the diagnosis proved right, by people's word before the terminal's. told is false where neither
// tells.
func (b *Became) Right() (right, told bool) {
	switch {
	case b.Found != "":
		return b.Found == b.Cause, true
	case b.Outcome == OutcomeBorneOut:
		return true, true
	case b.Outcome == OutcomeRefuted:
		return false, true
	}
	return false, false
}

// A Lesson is a diagnosis that proved right or wrong, together with the event and evidence that it was made of. It is
// one line of the fleet's /api/v1/outcomes, which the evaluation fits the engine's numbers to.
type Lesson struct {
	Became
	Event    Event      `json:"event"`
	Evidence []Evidence `json:"evidence"`
}

// Truth returns the id of the cause that it really was. It is "" where only is known that it was not the one named, or
// where people found nothing.
func (l *Lesson) Truth() string {
	right, told := l.Right()
	switch {
	case told && right:
		return l.Cause
	case l.Found != "" && l.Found != FoundNothing:
		return l.Found
	}
	return ""
}
