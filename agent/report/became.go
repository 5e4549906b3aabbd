package report

import "time"

// Became is a diagnosis and what became of it, as a fleet knows it.
type Became struct {
	Estate    string    `json:"estate"`
	Terminal  string    `json:"terminal"`
	Diagnosis string    `json:"diagnosis"`
	Code      string    `json:"code"`
	Cause     string    `json:"cause"`
	P         float64   `json:"probability"`       // that the diagnosis gave it; 0: not known
	Outcome   string    `json:"outcome,omitempty"` // as the terminal told
	Found     string    `json:"found,omitempty"`   // as people told; their word goes before the terminal's
	At        time.Time `json:"at"`
}

// FoundNothing is what people find where nothing was wrong; every other find is a cause's id.
const FoundNothing = "none"

// Right tells whether a diagnosis proved right, by people's word before the terminal's; told is false where nothing
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

// A Lesson is a diagnosis that proved right or wrong, with what it was made of: one line of a fleet's
// /api/v1/outcomes, from which the numbers of the engine are fitted.
type Lesson struct {
	Became
	Event    Event      `json:"event"`
	Evidence []Evidence `json:"evidence"`
}

// Truth returns the cause that it was; "" where it is only known that it was not the one named, or that people found
// nothing.
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
