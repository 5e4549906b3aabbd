package report

import "time"

// State is what the daemon knows at this moment, for the people at the terminal: posdx status and the console ask for
// it over the local socket. It goes to no fleet.
type State struct {
	Time         time.Time        `json:"time"`
	UptimeMS     int64            `json:"uptime_ms"`
	BootID       string           `json:"boot_id"`
	ClockTrusted bool             `json:"clock_trusted"`
	Terminal     string           `json:"terminal"` // estate/terminal
	Agent        Agent            `json:"agent"`
	Profile      string           `json:"profile,omitempty"` // how codes are read here: a profile's name, or a scheme's that has none
	Checks       []string         `json:"checks,omitempty"`  // that can be run here, sorted
	InSale       bool             `json:"in_sale"`           // a sale is running: nothing outside the agent is touched
	Uplink       Uplink           `json:"uplink"`
	Devices      []Device         `json:"devices"`
	Evidence     []Evidence       `json:"evidence"`          // the latest of every check and subject
	Last         *Diagnosis       `json:"last,omitempty"`    // the latest diagnosis of a sale, absent if there was none since the start
	Outcome      *Outcome         `json:"outcome,omitempty"` // what became of the latest diagnosis
	Recent       []Recent         `json:"recent,omitempty"`  // the newest diagnoses of this and earlier starts, newest first
	Self         map[string]int64 `json:"self"`              // as in Health
	Watch
}

// Recent is a diagnosis in one line, for lists.
type Recent struct {
	ID          string    `json:"id"`
	Time        time.Time `json:"time"`
	Scheme      string    `json:"scheme"`
	Code        string    `json:"code"`
	Cause       string    `json:"cause"` // id of the first one
	Probability float64   `json:"probability"`
	Abstained   bool      `json:"abstained"`
	Money       string    `json:"money"`
	Retry       string    `json:"retry"`
	Repeats     int       `json:"repeats"`
}

// InOneLine shortens a diagnosis for a list.
func InOneLine(d *Diagnosis) Recent {
	r := Recent{ID: d.ID, Time: d.Event.Time, Scheme: d.Code.Scheme, Code: d.Event.Code, Cause: Unexplained,
		Abstained: d.Abstained,
		Money:     d.Money.State, Retry: d.Money.Retry, Repeats: d.Repeats}
	if len(d.Causes) > 0 {
		r.Cause, r.Probability = d.Causes[0].ID, d.Causes[0].Probability
	}
	return r
}

// Uplink is how the connection to the fleet stands.
type Uplink struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"` // of being so
	Waiting   int64     `json:"waiting"`        // records kept until the fleet has them
	Why       string    `json:"why,omitempty"`  // of not being connected, or of keeping records in memory only
}
