package ecr

import "posdx/drivers/frame"

// abecs is the link to Brazil's PIN pads (ABECS protocol 2.20).
type abecs struct {
	answers bool
}

func (a abecs) cut(b []byte) (int, []byte, verdict) {
	if a.answers && b[0] == eot {
		return 1, b[:1], control // what ran was cancelled
	}
	if b[0] != syn {
		return single(b[0])
	}
	switch step, size, message := frame.CutABECS(b); step {
	case frame.ABECSWhole:
		return size, message, sound
	case frame.ABECSSpoilt:
		return 1, nil, damaged
	case frame.ABECSBroken:
		return 1, nil, noise
	}
	return 0, nil, more
}

// abecsSale tells whether a command takes a card, a PIN or a decision of a chip (chapter 3).
func abecsSale(name string) bool {
	switch name {
	case "GCR", "GCX", "GCD", "GTK", "GPN", "GOC", "GOX", "CNG", "CHP", "FNC", "FCX":
		return true
	}
	return false
}

// abecsEnds tells whether a sale is over when the pad has answered this: the chip has decided, the card is out, the
// session is closed.
func abecsEnds(name string) bool {
	switch name {
	case "FNC", "FCX", "RMC", "CLO", "CLX":
		return true
	}
	return false
}

// read takes the command's name and RSP_STAT, the three digits behind it. The blocks that follow hold tracks and PIN
// blocks: they are counted, to know that this is an answer, and never read. Encrypted messages begin with DC2; nothing
// can be known of them.
func (a abecs) read(b []byte) (Found, bool) {
	if a.answers && len(b) == 1 && b[0] == eot {
		return Found{Kind: End}, true
	}
	if len(b) == 0 || b[0] == frame.ABECSEncrypted {
		return Found{}, true
	}
	c := cursor{rest: b}
	name := string(c.take(3))
	if !a.answers {
		if abecsSale(name) {
			return Found{Kind: Start}, true
		}
		return Found{}, true
	}
	if len(c.rest) == 0 {
		return Found{}, true // ERR: no such command
	}
	status := c.take(3)
	if c.short || !frame.AllDigits(status) {
		return Found{}, name == "ERR"
	}
	for len(c.rest) > 0 {
		size := c.take(3)
		if c.short || !frame.AllDigits(size) {
			return Found{}, false
		}
		if c.take(int(size[0]-'0')*100 + int(size[1]-'0')*10 + int(size[2]-'0')); c.short {
			return Found{}, false
		}
	}
	if string(status) != "000" {
		return Found{Kind: Result, Code: ABECS + ":" + string(status), Scheme: schemeLocal, Origin: FromTerminal}, true
	}
	if abecsEnds(name) {
		return Found{Kind: End}, true
	}
	return Found{}, true // a command that worked is not a sale that did
}
