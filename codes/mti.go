package codes

import "strings"

// An MTI is a message type of ISO 8583: four digits for version, class, function and origin, in any version of the
// standard. Of one that has not four characters nothing is known, and every method is false.
type MTI string

func (m MTI) is(place int, digits string) bool {
	return len(m) == 4 && strings.IndexByte(digits, m[place]) >= 0
}

// Payment reports whether the message moves money: an authorisation (x1xx) or a financial message (x2xx).
func (m MTI) Payment() bool { return m.is(1, "12") }

// Reversal reports whether the message belongs to a reversal (x4xx): an earlier request is being taken back.
func (m MTI) Reversal() bool { return m.is(1, "4") }

// Settlement reports whether the message compares totals (x5xx).
func (m MTI) Settlement() bool { return m.is(1, "5") }

// Network reports whether the message manages the connection (x8xx): a sign-in, an exchange of keys, an echo.
func (m MTI) Network() bool { return m.is(1, "8") }

// Management reports whether the message is one of the network, of files (x3xx) or of administration (x6xx). No card
// and no money is in it.
func (m MTI) Management() bool { return m.is(1, "368") }

// Response reports whether the message is an answer.
func (m MTI) Response() bool { return m.is(2, "13579") }

// Advice reports whether the message, or its answer, reports what was done already: an advice, a notification.
func (m MTI) Advice() bool { return m.is(2, "234567") }

// Repeat reports whether its sender has sent the message before.
func (m MTI) Repeat() bool { return m.is(3, "13579") }

// OwnReason reports whether field 39 of the message is the terminal's own reason: of a reversal's request or advice.
func (m MTI) OwnReason() bool { return m.Reversal() && m.is(2, "02") }
