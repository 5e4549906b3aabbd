package ecr

import (
	"bytes"
	"encoding/binary"
)

// zvtLAN is the transport of ZVT over TCP (PA00P015, chapter 7): the APDU alone, class, instruction and length.
type zvtLAN struct{ zvt }

const (
	apduHead = 3 // class, instruction, length
	apduLong = 5 // the length FF and two bytes, low one first
)

func (zvtLAN) cut(b []byte) (int, []byte, verdict) {
	// Classes of commands and of answers; another byte begins no APDU.
	switch b[0] {
	case 0x04, 0x05, 0x06, 0x08, 0x0F, 0x80, 0x84:
	default:
		return 1, nil, noise
	}
	if len(b) < apduHead {
		return 0, nil, more
	}
	n, head := int(b[2]), apduHead
	if n == 0xFF {
		if head = apduLong; len(b) < head {
			return 0, nil, more
		}
		n = int(binary.LittleEndian.Uint16(b[3:]))
	}
	switch {
	case n > MaxMessage-apduLong:
		return 1, nil, oversize
	case len(b) < head+n:
		return 0, nil, more
	}
	return head + n, b[:head+n], sound
}

// retail is the link of registers and terminals that speak XML or JSON behind a length of four bytes: the IFSF and
// CONEXXUS interface (OPI), and the nexo retailer protocol. Of a message are read the names of the request and of its
// result, which stand in front; a message that is longer than any other is read as far as it is held, and the rest
// passed over.
type retail struct {
	name string // of the family of codes
	pass int    // bytes of a long message that are still to come
}

const (
	retailHead = 4
	retailMost = 1 << 20 // receipts and images in them
)

func (r *retail) cut(b []byte) (int, []byte, verdict) {
	if r.pass > 0 {
		n := min(r.pass, len(b))
		r.pass -= n
		return n, nil, control
	}
	if len(b) < retailHead {
		return 0, nil, more
	}
	n := int(binary.BigEndian.Uint32(b))
	if n == 0 {
		return retailHead, nil, control // keep-alive
	}
	if n < 0 || n > retailMost || len(b) > retailHead && b[retailHead] != '<' && b[retailHead] != '{' &&
		b[retailHead] != 0xEF {
		return 1, nil, noise
	}
	switch {
	case len(b) >= retailHead+n:
		return retailHead + n, b[retailHead : retailHead+n], sound
	case len(b) >= MaxMessage:
		r.pass = retailHead + n - len(b)
		return len(b), b[retailHead:], sound
	}
	return 0, nil, more
}

// retailSales are the requests that are for a card or an amount, of OPI and of nexo.
var retailSales = []string{
	"CardPayment", "CardPreAuthorisation", "CardPreAuthorization", "CardFinancialAdvice", "CardPaymentLoyaltyAward", "PaymentReversal", "PaymentRefund",
	"CardBalanceQuery", "CardActivate", "CardLoad",
	"Payment", "Reversal", "BalanceInquiry", "StoredValue", "CardAcquisition", "Loyalty",
}

// read finds the request's name and its result. Values are taken where they are one of a list, or a word of letters.
func (r *retail) read(b []byte) (Found, bool) {
	// What the terminal asks of the register while a command runs, to show, to print, to have a key pressed, is no
	// command, and its answer ends none.
	if c := retailWord(b, "MessageClass"); c == "Device" || c == "Event" || bytes.Contains(b, []byte("DeviceRe")) {
		return Found{}, true
	}
	kind, result, why := retailWord(b, "RequestType"), retailWord(b, "OverallResult"), ""
	ask := result == "" && (bytes.Contains(b, []byte("ServiceRequest")) || bytes.Contains(b, []byte("CardServiceRequest")))
	if kind == "" {
		kind = retailWord(b, "MessageCategory")
		ask = retailWord(b, "MessageType") == "Request"
		if !ask {
			result, why = retailWord(b, "Result"), retailWord(b, "ErrorCondition")
		}
	}
	if kind == "" {
		return Found{}, true
	}
	sale := false
	for _, s := range retailSales {
		sale = sale || s == kind
	}
	switch {
	case ask && sale:
		return Found{Kind: Start}, true
	case ask && kind == "Abort":
		return Found{}, true // its answer is the sale's
	case ask:
		return Found{Kind: Other}, true
	case result == "":
		return Found{}, true
	case !sale:
		return Found{Kind: End}, true
	case kind == "CardAcquisition" && result == "Success":
		return Found{}, true // the card is in, and its payment follows
	}
	f := Found{Kind: Result, Approved: result == "Success" || result == "Partial"}
	if !f.Approved {
		if why == "" {
			why = result
		}
		f.Code, f.Scheme, f.Origin = r.name+":"+why, schemeLocal, FromTerminal
	}
	return f, true
}

// retailWord finds the value of an attribute of XML, an element without attributes, or a member of JSON, if it is a
// word of at most 24 letters; empty for none.
func retailWord(b []byte, name string) string {
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(name))
		if i < 0 {
			return ""
		}
		at += i
		front := byte(0)
		if at > 0 {
			front = b[at-1]
		}
		at += len(name)
		if front != ' ' && front != '<' && front != '"' && front != '\n' && front != '\t' {
			continue
		}
		v := bytes.TrimLeft(b[at:min(len(b), at+48)], "\"= :>'\t\r\n")
		n := 0
		for n < len(v) && (v[n] >= 'A' && v[n] <= 'Z' || v[n] >= 'a' && v[n] <= 'z') {
			n++
		}
		if n > 0 && n <= 24 && n < len(v) && (v[n] == '"' || v[n] == '\'' || v[n] == '<') {
			return string(v[:n])
		}
	}
}
