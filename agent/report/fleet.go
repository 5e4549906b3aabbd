package report

import "time"

// Health is a snapshot of what the background checks know and of the agent itself.
type Health struct {
	Time         time.Time        `json:"time"`
	UptimeMS     int64            `json:"uptime_ms"`
	BootID       string           `json:"boot_id"`
	ClockTrusted bool             `json:"clock_trusted"`
	Evidence     []Evidence       `json:"evidence"`
	Agent        Agent            `json:"agent"`
	Self         map[string]int64 `json:"self"` // goroutines, descriptors, rss_kb, outbox_bytes, outbox_records, dropped, scrubbed, …
	Watch
}

// Watch is what the agent has found out about its own running. Both members are absent when all is well.
type Watch struct {
	LastCrash string `json:"last_crash,omitempty"` // how the latest start that ended badly since boot ended
	Reduced   string `json:"reduced,omitempty"`    // why only the tables answer, without checks
}

// A Tally counts the codes of one hour, approvals included. The fleet makes its base rates of them.
type Tally struct {
	From   time.Time   `json:"from"`
	To     time.Time   `json:"to"`
	Counts []CodeCount `json:"counts"`
}

// CodeCount is how often one code was seen.
type CodeCount struct {
	Scheme string `json:"scheme"`
	Code   string `json:"code"`
	Origin Origin `json:"origin"`
	Count  int    `json:"count"`
}

// Presence is the retained status of a terminal; the broker publishes the offline one as last will.
type Presence struct {
	State  string `json:"state"`   // online offline
	Reason string `json:"reason"`  // why it is so
	BootID string `json:"boot_id"` // of the start of the machine that said so
}

// Birth tells what a terminal is. It is sent when a session begins.
type Birth struct {
	Time    time.Time `json:"time"`
	BootID  string    `json:"boot_id"`
	Boot    uint64    `json:"boot"`  // how often the outbox was opened
	Epoch   string    `json:"epoch"` // name of the outbox's numbering
	Agent   Agent     `json:"agent"`
	Devices []Device  `json:"devices"`
	Counted []string  `json:"counted"` // document kinds that carry seq
	// Oldest is the lowest sequence the outbox still holds, or the next one if it is empty. What the fleet lacks below
	// it can never come, so a fleet whose store is new need not wait for it. 0 means not said.
	Oldest uint64 `json:"oldest,omitempty"`
	// Labels are what the terminal shares with others, by the names of Dimensions: what its configuration says of it.
	Labels map[string]string `json:"labels,omitempty"`
	Watch
}

// Device is a device fitted to the terminal.
type Device struct {
	Name string `json:"name"` // reader0, modem0, eth0
	Kind string `json:"kind"` // reader modem network
	Port string `json:"port,omitempty"`
}

// Dropped reports documents that the outbox gave up before the fleet had them, because a bound was reached or flash
// failed.
type Dropped struct {
	Time   time.Time      `json:"time"`
	First  uint64         `json:"first"` // lowest and highest sequence dropped; kept records may lie between
	Last   uint64         `json:"last"`
	Counts map[string]int `json:"counts"` // by kind
	Reason string         `json:"reason"` // space age corrupt io
	// Ranges are the dropped sequences exactly, ascending pairs of first and last. Without them all that is known is
	// that they lie between First and Last.
	Ranges [][2]uint64 `json:"ranges,omitempty"`
}

// Ack is the fleet's word that it has committed everything up to Seq.
type Ack struct {
	Epoch string `json:"epoch"` // of the outbox the sequence belongs to
	Boot  uint64 `json:"boot"`
	Seq   uint64 `json:"seq"`
}

// MaxMessage is the largest MQTT packet that anybody of a fleet sends or takes, in bytes: every document and every
// command, a knowledge pack in base64 among them. The client, the embedded broker, the files for other brokers and the
// schema have this number; a test holds them together.
const MaxMessage = 288 << 10

// A Command asks a terminal to do one named thing.
type Command struct {
	ID   string         `json:"id"`
	Args map[string]any `json:"args,omitempty"`
}

// Reply is a terminal's answer to a command.
type Reply struct {
	ID     string `json:"id"`
	Result string `json:"result"` // accepted done refused failed
	Why    string `json:"why,omitempty"`
	Data   any    `json:"data,omitempty"`
}
