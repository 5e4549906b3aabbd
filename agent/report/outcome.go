package report

import "time"

// An Outcome says what became of a diagnosis: it is published on a topic of its own and names the diagnosis it is
// about.
type Outcome struct {
	Diagnosis string    `json:"diagnosis"` // id
	Cause     string    `json:"cause"`     // the first one named there
	Outcome   string    `json:"outcome"`
	Check     string    `json:"check,omitempty"` // whose finding told: the one that spoke most for the cause
	Subject   string    `json:"subject,omitempty"`
	Time      time.Time `json:"time"`
}

// What can become of a diagnosis.
const (
	OutcomeMended   = "mended"    // what was found broken is well again, or a sale went well; the other is not known yet
	OutcomeBorneOut = "borne-out" // what was found broken was put right, and then a sale went well
	OutcomeRefuted  = "refuted"   // a sale went well while it was broken still, or it was well and the code came again
	OutcomeUntested = "untested"  // a day went by and nothing told
)

// Outcomes are all of them.
var Outcomes = []string{OutcomeMended, OutcomeBorneOut, OutcomeRefuted, OutcomeUntested}
