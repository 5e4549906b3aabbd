package report

import "time"

// State is what the daemon knows at this moment, for the people at the terminal: posdx status, the console, the local
// socket. It never leaves the terminal by itself.
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
	Last         *Diagnosis       `json:"last,omitempty"`    // the latest diagnosis, absent if there was none since the start
	Outcome      *Outcome         `json:"outcome,omitempty"` // what became of the latest diagnosis
	Self         map[string]int64 `json:"self"`              // as in Health
	Watch
}

// Uplink is the way to the fleet.
type Uplink struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"` // of being so
	Waiting   int64     `json:"waiting"`        // records kept until the fleet has them
	Why       string    `json:"why,omitempty"`  // of not being connected, or of keeping records in memory only
}
