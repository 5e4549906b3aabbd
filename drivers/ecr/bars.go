package ecr

import (
	"bytes"

	"posdx/drivers/frame"
)

// enclosed cuts STX, text, ETX and the check character behind it. An STX within means that the frame before was cut.
func enclosed(b []byte) (n int, body []byte, sum byte, v verdict) {
	if b[0] != stx {
		n, body, v = single(b[0])
		return n, body, 0, v
	}
	i := 1 + bytes.IndexAny(b[1:], "\x02\x03")
	switch {
	case i > 0 && b[i] == stx:
		return 1, nil, 0, noise
	case i == 0 || i+1 == len(b):
		return 0, nil, 0, more
	}
	return i + 2, b[1:i], b[i+1], sound
}

// transbank is the link of Chile's terminals (transbankdevelopers.cl, POS Integrado). LRC is the XOR of text and ETX.
type transbank struct{}

func (transbank) cut(b []byte) (int, []byte, verdict) {
	n, body, sum, v := enclosed(b)
	if v == sound && frame.XOR(etx, body) != sum {
		return 1, nil, damaged
	}
	return n, body, v
}

// read takes the first, second and fourth field of a result: type, answer, merchant, terminal. The fields after them
// hold the last digits of the card. The answers are the terminal's own list, not field 39. 0260 and 0280 repeat an old
// result.
func (transbank) read(b []byte) (Found, bool) {
	kind, rest, _ := bytes.Cut(b, []byte{'|'})
	switch string(kind) {
	case "0200", "0270", "1200": // sale, sale for several shops, its cancelling
		return Found{Kind: Start}, true
	case "0500", "0700", "0800": // closing, totals, keys
		return Found{Kind: Other}, true
	case "0510", "0710", "0810":
		if len(rest) < 3 || rest[2] != '|' || !frame.AllDigits(rest[:2]) || string(rest[:2]) == "00" {
			return Found{Kind: End}, true
		}
	case "0210", "0271", "1210":
	default:
		return Found{}, true
	}
	answer, rest, _ := bytes.Cut(rest, []byte{'|'})
	if len(answer) != 2 || !frame.AllDigits(answer) {
		return Found{}, false
	}
	_, rest, _ = bytes.Cut(rest, []byte{'|'})
	terminal, _, _ := bytes.Cut(rest, []byte{'|'})
	f := Found{Kind: Result, Approved: string(answer) == "00", Terminal: plain(terminal, 8)}
	if !f.Approved {
		f.Code, f.Scheme, f.Origin = Transbank+":"+string(answer), schemeLocal, FromTerminal
	}
	return f, true
}

// ecr17 is the link of Italy's terminals (developer.nexigroup.com, traditional POS). The check character starts from
// 7F; whether STX and ETX belong to it differs from terminal to terminal.
type ecr17 struct {
	answers bool // the terminal's side

	known bool
	with  byte // STX, ETX, both or neither, XORed: what this terminal adds
	other byte // what the last frame would have needed
	twice bool // other is set
}

const (
	ecr17Seed     = 0x7F
	ecr17Progress = 32 // SOH, 20 characters, EOT
	ecr17Fields   = 12 // terminal, reserved, message, result
)

func (e *ecr17) cut(b []byte) (int, []byte, verdict) {
	if b[0] == soh {
		i := bytes.IndexByte(b[:min(len(b), ecr17Progress)], eot)
		switch {
		case i > 0:
			return i + 1, nil, control // progress in words
		case len(b) < ecr17Progress:
			return 0, nil, more
		}
		return 1, nil, noise
	}
	if b[0] == etx && len(b) == 1 {
		return 0, nil, more
	}
	if b[0] == etx && (b[1]^ack^ecr17Seed <= 3 || b[1]^nak^ecr17Seed <= 3) {
		return 2, nil, control // ACK and NAK are frames: ETX and a check character stand behind them
	}
	n, body, sum, v := enclosed(b)
	if v == sound && !e.fits(sum^frame.XOR(ecr17Seed, body)) {
		return 1, nil, damaged
	}
	return n, body, v
}

// fits reports whether a frame's check character differs from that of its text in the way that this terminal's does. To
// accept all four ways at any time would miss every error in two bits of eight.
func (e *ecr17) fits(with byte) bool {
	switch {
	case with > 3:
		return false
	case !e.known || with == e.with || e.twice && with == e.other:
		e.known, e.with, e.twice = true, with, false
		return true
	}
	e.other, e.twice = with, true
	return false
}

// read takes the terminal's number and the result of a command. A card number stands behind them. Some letters are a
// command where the register says them, and its result where the terminal does.
func (e *ecr17) read(b []byte) (Found, bool) {
	if len(b) < 10 {
		return Found{}, true
	}
	switch c := b[9]; {
	case c == 'P' || c == 'X' || c == 'S' || c == 'p' || c == 'K':
		// payment, with more in its result, reversal, pre-authorisation, services
		return Found{Kind: Start}, true
	case !e.answers && (c == 'i' || c == 'c' || c == 'H'): // more of a pre-authorisation, its closing, card verification
		return Found{Kind: Start}, true
	case c == 'C' || c == 'T': // closing of the day, totals
		if !e.answers {
			return Found{Kind: Other}, true
		}
		if c == 'T' || len(b) < ecr17Fields || !frame.AllDigits(b[10:12]) || string(b[10:12]) == "00" {
			return Found{Kind: End}, true
		}
	case e.answers && (c == 'E' || c == 'e' || c == 'i' || c == 'c' || c == 'H'):
	default:
		return Found{}, true
	}
	if len(b) < ecr17Fields || !frame.AllDigits(b[10:12]) {
		return Found{}, false
	}
	f := Found{Kind: Result, Approved: string(b[10:12]) == "00", Terminal: plain(b[:8], 8)}
	if !f.Approved {
		f.Code, f.Scheme, f.Origin = ECR17+":"+string(b[10:12]), schemeLocal, FromTerminal
	}
	return f, true
}
