package report

import "time"

// An Outcome is what the terminal found out afterwards about a diagnosis of its own.
type Outcome struct {
	Diagnosis string    `json:"diagnosis"`       // id
	Cause     string    `json:"cause"`           // the first one named there
	Outcome   string    `json:"outcome"`         // one of Outcomes
	Check     string    `json:"check,omitempty"` // whose finding told: the one that spoke most for the cause
	Subject   string    `json:"subject,omitempty"`
	Time      time.Time `json:"time"`
}

// Values of Outcome.Outcome. "Found broken" is the finding that spoke most for the first cause.
const (
	OutcomeMended   = "mended"    // so far either what was found broken is well again, or a sale went well
	OutcomeBorneOut = "borne-out" // right: what was found broken was put right, and then a sale went well
	OutcomeRefuted  = "refuted"   // wrong: a sale went well while it was still broken, or it was well and the code came again
	OutcomeUntested = "untested"  // a day went by and nothing told
)

// Outcomes lists the values of Outcome.Outcome.
var Outcomes = []string{OutcomeMended, OutcomeBorneOut, OutcomeRefuted, OutcomeUntested}
