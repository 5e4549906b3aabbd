// Package source is the vocabulary of the places where a response code is first seen; the packages below it are these
// places: the payment application's hook, payment logs, the register link, the capture of the network.
//
// Everything that comes in there was written by other programs. Only named members of known type and length go on;
// nothing that could be a card number gets past, and a value that is refused is never repeated in an error or a log
// line.
package source

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"posdx/agent/report"
	"posdx/drivers/ecr"
)

// Seen is one appearance of a response code, as a source passes it on.
type Seen struct {
	Code    string
	Scheme  string // name of a code table; empty means the configured profile
	Origin  report.Origin
	Channel report.Channel
	Txn     *report.Txn
	Time    time.Time // when it was written, if the writer said so; else when it was seen
	Lang    string    // "zh" or "en": the language asked for; empty means the configured one
	Late    bool      // it was written while no source ran: the terminal may have changed since
	Card    ecr.Card  // which of the cards it is, known in this process only
}

// Phase is a step of a transaction.
type Phase string

// Phases of a transaction. A sale runs from start to end; a card read may fail several times within it.
const (
	PhaseStart    Phase = "start"
	PhaseRead     Phase = "read" // an attempt to read a card ended; OK says how
	PhaseSent     Phase = "sent" // the request has left
	PhaseAnswered Phase = "answered"
	PhaseEnd      Phase = "end" // Result says how
)

// Results of a transaction, in TxnMark.Result. Empty means the writer did not say.
const (
	ResultApproved  = "approved"
	ResultDeclined  = "declined"
	ResultFailed    = "failed"    // no verdict from the other side
	ResultCancelled = "cancelled" // by the customer or the cashier
)

// A TxnMark is one step of a transaction, as its source tells it. Members that are nil or empty are not known.
type TxnMark struct {
	Phase   Phase
	Channel report.Channel
	Time    time.Time
	Txn     report.Txn // connect and response times, entry, STAN
	OK      *bool      // of a read: was the card read?
	Again   bool       // of a read: the same card as in the attempt before
	Result  string     // of an end
	PIN     *bool      // of an end: was a PIN entered?
	Code    string     // of an end: the code it ended with
	Late    bool       // as in Seen
}

// A Sink takes what sources see. None of its methods waits. A sink whose queue is full says so, and the source offers
// the same again later or tells its own client.
type Sink interface {
	Seen(Seen) bool          // false when the queue is full
	Txn(TxnMark)             // marks are kept in order and never refused; the oldest knowledge may be forgotten
	Fact(ev report.Evidence) // what the payment app itself reports: app.*, pinpad.port, printer.status, reader.reads
	// a bound was reached: n things of a kind ("log line cut", "log bytes skipped", …) were not read
	Lost(kind string, n int)
}

// A Wire is what was captured of a connection of the payment application to one of its hosts: that it exists or, where
// Hello is set, that it opened a TLS handshake.
type Wire struct {
	Target string // of the contract: host-primary, host-backup
	Host   netip.AddrPort
	Local  uint16 // port of this end
	Hello  *Hello
}

// A Hello is the form in which a program opens its TLS handshakes. Devices on the way may pass one form and drop
// another.
type Hello struct {
	Size    int    // bytes of the record
	Version uint16 // the newest that it offers; 0x0101 for TLCP
	Name    string // server name; empty if it sends none
}

// A Source runs until its context ends, and passes what it sees to a sink.
type Source interface {
	Run(ctx context.Context, to Sink) error
}

// ErrBusy is the error of a full queue: try again a second later.
var ErrBusy = errors.New("queue full")

// ErrUnknown is the error where no code has the id that was asked for, or not any more.
var ErrUnknown = errors.New("no code of this terminal has this id, or not any more: the last 200 diagnoses are kept")

// FullAgain is when a full sink is offered the same again.
const FullAgain = 200 * time.Millisecond

// Sleep waits for a time or a change; it is false when ctx ended.
func Sleep(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	due := time.NewTimer(d)
	defer due.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-due.C:
	}
	return true
}

// Keep runs f again and again until ctx ends, with a pause after each time that it ended. f calls works once it does
// its work. tell gets the error that f ended with, but not the same one twice in a row unless it had worked in
// between.
func Keep(ctx context.Context, pause time.Duration, f func(works func()) error, tell func(error)) {
	told := ""
	for {
		err := f(func() { told = "" })
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			tell(err)
		}
		if !Sleep(ctx, pause, nil) {
			return
		}
	}
}

// A Ticket follows one event. First gives revision 1 of its diagnosis, Final the last one. Each channel is closed when
// no more will come, with or without a diagnosis before. Both are buffered, so that the sender never waits for a
// reader.
type Ticket struct {
	ID      string
	First   <-chan report.Diagnosis
	Final   <-chan report.Diagnosis
	Warning string // a member of the request that is not known, "member: why"; empty if all are
}

// A Daemon answers the requests of the local socket.
type Daemon interface {
	Sink
	// Event takes a code in and returns at once; the error is ErrBusy when the queue is full.
	Event(ctx context.Context, s Seen) (Ticket, error)
	// Again returns the answers to an earlier code by its id, in this language; ErrUnknown if there is none of it. A
	// channel that is nil has nothing to give yet.
	Again(ctx context.Context, id, lang string) (Ticket, error)
	// State returns what is known now, touching nothing.
	State() report.State
	// Check runs checks by their names, all of them if there is none, and returns what they found. It obeys the rules
	// of every probe: what is in use or in a sale is not touched.
	Check(ctx context.Context, names []string) ([]report.Evidence, error)
}
