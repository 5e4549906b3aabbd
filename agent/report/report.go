// Package report defines the documents that leave the agent, their MQTT topics and their envelope.
//
// The names are a contract with other people's software: a member may be added, one that is here never changes its
// meaning. The JSON Schemas in the schema folder are the authority, and a test holds these types against them. Times
// ending in _ms are milliseconds, probabilities go from 0 to 1, and a member that is absent or null is not known.
package report

import "time"

// Origin says which program wrote a response code, as far as that is known.
type Origin string

// Origins of a code. A code written by the host proves that the path to the host worked.
const (
	OriginHost     Origin = "host"     // field 39 of an answer
	OriginTerminal Origin = "terminal" // the payment application or firmware itself
	OriginCashier  Origin = "cashier"  // the cash register's program
	OriginUnknown  Origin = "unknown"
)

// Channel says by which source a code was seen.
type Channel string

// Channels on which a code is seen.
const (
	ChannelHook    Channel = "hook"    // the payment application told it over the local socket
	ChannelLog     Channel = "log"     // a payment log
	ChannelECR     Channel = "ecr"     // the link between terminal and cash register
	ChannelCapture Channel = "capture" // the network between terminal and host
	ChannelConsole Channel = "console" // a person asked at the console
	ChannelCommand Channel = "command" // a person asked on the command line, or the fleet did
)

// Asked tells whether a person or the fleet asked about a code, and no sale failed. Such a code is not counted, is
// never taken for a failed sale, and no sale begins or ends with it.
func (c Channel) Asked() bool { return c == ChannelConsole || c == ChannelCommand }

// An Event is one appearance of a response code. It never holds an amount, a card number in any form, a track or a
// name.
type Event struct {
	ID           string    `json:"id"` // boot count and persistent sequence in fixed-width hex: ascending for ever
	Time         time.Time `json:"time"`
	UptimeMS     int64     `json:"uptime_ms"`
	BootID       string    `json:"boot_id"`
	ClockTrusted bool      `json:"clock_trusted"`
	Code         string    `json:"code"`               // 1 to 64 printable characters, in the form of the tables
	CodeRaw      string    `json:"code_raw,omitempty"` // as its writer wrote it, where that differs
	Scheme       string    `json:"scheme"`             // name of a code table; empty means the configured profile
	Origin       Origin    `json:"origin"`
	Channel      Channel   `json:"channel"`
	Txn          *Txn      `json:"txn,omitempty"`
}

// Txn is what is known of the transaction behind a code. An absent member is not known.
type Txn struct {
	MTI            string `json:"mti,omitempty"`  // ISO 8583 message type of the message that carried the code
	STAN           string `json:"stan,omitempty"` // field 11
	TerminalID     string `json:"terminal_id,omitempty"`
	Entry          string `json:"entry,omitempty"`       // chip stripe contactless manual code unknown
	CardScheme     string `json:"card_scheme,omitempty"` // visa mastercard unionpay …: a word of CardSchemes, never digits
	ConnectMS      *int64 `json:"connect_ms,omitempty"`
	ResponseMS     *int64 `json:"response_ms,omitempty"`
	Sent           *bool  `json:"sent,omitempty"` // did the request leave the terminal?
	HostAnswerSeen *bool  `json:"host_answer_seen,omitempty"`
}

// MaxCode is how many characters a response code has at most, those of makers with names for their errors included.
const MaxCode = 64

// TraceDigits is the length of a trace number (ISO 8583 field 11). What is longer is a reference (field 37), which many
// hosts end with it.
const TraceDigits = 6

// CardSchemes are the words for whose card it was. That is no card data: some hundred million cards share one.
var CardSchemes = []string{"unionpay", "visa", "mastercard", "amex", "jcb", "diners", "discover", "maestro", "mir",
	"rupay", "elo", "troy", "girocard", "interac", "eftpos", "other"}

// Status is how a check ended. There are four, never two: what is absent or unknown is not healthy.
type Status string

// Outcomes of a check.
const (
	OK         Status = "ok"
	Bad        Status = "bad"
	CannotTell Status = "cannot-tell" // facts.reason says why
	NotRun     Status = "not-run"     // facts.reason says why
)

// Depth is how far a check reaches, after the levels of UnifiedPOS CheckHealth.
type Depth string

// Depths of a check. Only internal ones are free of any effect outside the agent.
const (
	Internal    Depth = "internal"    // inside the terminal
	External    Depth = "external"    // it sends something over the network
	Interactive Depth = "interactive" // a person has to do or answer something
)

// Reasons of cannot-tell and not-run, in facts.reason.
const (
	ReasonInUse       = "in-use"      // another program holds the device
	ReasonAbsent      = "absent"      // not fitted, or not configured
	ReasonPermission  = "permission"  // posdx lacks a right
	ReasonTimeout     = "timeout"     // no answer in time
	ReasonUnsupported = "unsupported" // this device or kernel cannot tell
	ReasonTooFew      = "too-few"     // too few samples to judge by
	ReasonMasked      = "masked"      // a deeper fault stands in the way
	ReasonInSale      = "in-sale"     // a sale is running
	ReasonBudget      = "budget"      // the day's bytes of a metered interface are spent
	ReasonPolicy      = "policy"      // the configuration does not allow it
)

// Evidence is what one check found.
type Evidence struct {
	Check   string    `json:"check"`
	Subject string    `json:"subject"` // what was asked: eth0, host-primary, reader0
	Status  Status    `json:"status"`
	Facts   Facts     `json:"facts"`
	At      time.Time `json:"at"`      // when the check ended
	AgeMS   int64     `json:"age_ms"`  // from At to the moment of explaining
	TookMS  int64     `json:"took_ms"` // how long the check took
	Depth   Depth     `json:"depth"`
}

// Facts are the values that a check measured, by the names in codes/FACTS.md. A value is a bool, a number, a string,
// []string or map[string]float64, or what encoding/json makes of these. A fact that is not known is absent.
type Facts map[string]any

// Num returns a numeric fact, false if it is absent or no number.
func (f Facts) Num(name string) (float64, bool) {
	switch v := f[name].(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	}
	return 0, false
}

// Str returns a text fact, false if it is absent or no text.
func (f Facts) Str(name string) (string, bool) {
	s, ok := f[name].(string)
	return s, ok
}

// Bool returns a yes-or-no fact; ok is false if it is absent or neither.
func (f Facts) Bool(name string) (value, ok bool) {
	value, ok = f[name].(bool)
	return value, ok
}

// Strings returns a fact that is a list of words, nil if it is absent or no such list.
func (f Facts) Strings(name string) []string {
	switch v := f[name].(type) {
	case []string:
		return v
	case []any:
		list := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil
			}
			list = append(list, s)
		}
		return list
	}
	return nil
}

// Counts returns a fact that is a table of counts, nil if it is absent or no such table.
func (f Facts) Counts(name string) map[string]float64 {
	switch v := f[name].(type) {
	case map[string]float64:
		return v
	case map[string]int:
		t := make(map[string]float64, len(v))
		for k, n := range v {
			t[k] = float64(n)
		}
		return t
	case map[string]any:
		t := make(map[string]float64, len(v))
		for k, e := range v {
			n, ok := e.(float64)
			if !ok {
				return nil
			}
			t[k] = n
		}
		return t
	}
	return nil
}
