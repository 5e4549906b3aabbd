// Package reader asks card readers what they are and whether they are well, and counts how well cards are read. It
// never powers a card, never moves one, and no byte of card data leaves its decoders.
package reader

import "posdx/drivers/frame"

// Slot is what a reader's slot holds.
type Slot byte

// The states of a slot.
const (
	SlotUnknown Slot = iota
	SlotAbsent
	SlotPresent // a card that is not powered
	SlotActive  // a powered card: a transaction, perhaps
	SlotMute    // a card that does not answer
)

func (s Slot) String() string {
	return [...]string{"unknown", "absent", "present", "active", "mute"}[min(s, SlotMute)]
}

// A Report is what a reader told about itself.
type Report struct {
	Model    string // "" if it did not say
	Firmware string
	Slot     Slot
	Fault    string // what its self-test or its hardware reports, "" for nothing: a vendor code in hex
	Tamper   bool
	// Tested says that it was asked how it is and said of itself that it is well, or what is not. Few protocols can.
	Tested bool
	// Refused says that it answers, and no answer was a yes: that is no health.
	Refused bool
	Note    string       // what a person should see to though nothing is broken: a vendor code
	Health  frame.Health // of this dialogue
}
