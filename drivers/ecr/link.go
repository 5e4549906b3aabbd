package ecr

// The framings of the link between a terminal and a cash register, by the names a configuration gives them.
const (
	MISPOS    = "mispos"    // China: STX, length in BCD, DFxx members, ETX, LRC
	Transbank = "transbank" // Chile: STX, fields between bars, ETX, LRC
	ECR17     = "ecr17"     // Italy: as Transbank, with fields at fixed places and its own LRC
	ZVT       = "zvt"       // Germany, Austria, Switzerland: DLE stuffing, CRC
	ABECS     = "abecs"     // Brazil's PIN pads: SYN, ETB, stuffing, CRC
	ZVTLAN    = "zvt-lan"   // ZVT over TCP: the APDU alone
	OPI       = "opi"       // IFSF, CONEXXUS: XML behind four bytes of length, over TCP
	Nexo      = "nexo"      // nexo retailer: XML or JSON behind four bytes of length, over TCP
	ISO8583   = "iso8583"   // a length header and a message for the host, bare
)

// Framings are the names of all link protocols that can be decoded.
var Framings = []string{MISPOS, Transbank, ECR17, ZVT, ABECS, ISO8583, ZVTLAN, OPI, Nexo}

// Kind is what a message means to a sale.
type Kind byte

// Kinds of messages. Nothing is never handed on.
const (
	Nothing Kind = iota
	Start        // the register, or the terminal for its host, began what touches a card or an amount: a sale
	Other        // the register gave a command that is no sale: a settlement, a diagnosis, a sign-in
	Result       // a sale or a command ended, and how
	End          // a sale or a command ended; how is not said, or was before
	Refusal      // the terminal refused the command it was just given: it did not run. Code says why
)

// Origin is who wrote a code.
type Origin string

// Origins of a code on the link.
const (
	FromHost     Origin = "host"
	FromTerminal Origin = "terminal"
)

// schemeLocal is the table of codes that terminals make themselves, each with its family before a colon.
const schemeLocal = "terminal-local"

// Found is what may be known of one message: the allow-list of its fields. A member that the message does not carry is
// empty.
type Found struct {
	Kind     Kind
	Approved bool   // of a result: the sale went through; Code is then what said so, or empty
	Code     string // at most 8 characters besides the prefix of its family
	Scheme   string // the code's table; empty for the one of this acquirer
	Origin   Origin // of the code
	MTI      string // four digits, where an ISO 8583 message crosses the link
	STAN     string // six digits
	Terminal string // eight characters
	Card     Card   // which card it is, only where cards are counted
}

// Counts tell the health of one direction of the link since its decoder was made.
type Counts struct {
	Frames    int // with a right check sum
	NAKs      int // the side that is listened to refused what it received
	SumErrors int // frames whose LRC or CRC was wrong
	Oversize  int // frames that claimed or reached more than MaxMessage
	Cut       int // frames that stopped in the middle
	Resyncs   int // times that the beginning of a frame had to be looked for
	Refused   int // sound frames whose content contradicted itself
}

// linkBuffer holds the longest frame with what surrounds it.
const linkBuffer = MaxMessage + 16

// A Decoder reads one direction of a link. It belongs to one goroutine, never grows, and zeroes what it has read.
type Decoder struct {
	Counts Counts

	p    protocol
	held []byte // the beginning of a frame that has not come whole
	lost bool   // the last bytes belonged to no sound frame
}

// A protocol knows one framing.
type protocol interface {
	// cut looks at b, which is not empty, and says what it begins with and how long that is. What it says of some bytes
	// it says of the same with more behind them; only more may change.
	cut(b []byte) (n int, body []byte, v verdict)
	// read takes what may be known out of the body of a sound frame; false for one that contradicts itself.
	read(body []byte) (Found, bool)
}

type verdict byte

const (
	more     verdict = iota // a frame that is not whole yet
	sound                   // a frame with a right check sum
	damaged                 // a frame with a wrong one
	oversize                // a frame that says it is longer than any
	control                 // a byte with a meaning of its own, or a message that says nothing
	refusal                 // NAK
	noise                   // none of these
)

// Control characters of all framings.
const (
	soh, stx, etx, eot, enq, ack, dle = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10
	dc3, nak, syn, etb, can           = 0x13, 0x15, 0x16, 0x17, 0x18
)

// NewDecoder returns the decoder of a framing, nil if there is none of that name. answers tells that this direction
// carries what the terminal or PIN pad sends: in ABECS a request looks like an answer.
func NewDecoder(framing string, answers bool) *Decoder {
	return NewCountingDecoder(framing, answers, nil)
}

// NewCountingDecoder returns a decoder as NewDecoder does, one that tells cards apart where tags is not nil.
func NewCountingDecoder(framing string, answers bool, tags *Tags) *Decoder {
	d := &Decoder{held: make([]byte, 0, linkBuffer)}
	switch framing {
	case MISPOS:
		d.p = mispos{tags}
	case Transbank:
		d.p = transbank{}
	case ECR17:
		d.p = &ecr17{answers: answers}
	case ZVT:
		d.p = zvt{answers, tags}
	case ABECS:
		d.p = abecs{answers: answers}
	case ZVTLAN:
		d.p = zvtLAN{zvt{answers, tags}}
	case OPI, Nexo:
		d.p = &retail{name: framing}
	case ISO8583:
		d.p = isolink{tags}
	default:
		return nil
	}
	return d
}

// Push takes bytes as they came, returns what they tell, and zeroes them.
func (d *Decoder) Push(b []byte, found func(Found)) {
	for rest := b; len(rest) > 0; {
		n := copy(d.held[len(d.held):cap(d.held)], rest)
		d.held, rest = d.held[:len(d.held)+n], rest[n:]
		d.take(found, false)
	}
	clear(b)
}

// Partial reports whether a frame has begun and not ended.
func (d *Decoder) Partial() bool { return len(d.held) > 0 }

// Quiet tells the decoder that the line has fallen silent. Within a frame it never does, so a frame that has begun will
// not end; a whole frame that stands behind a wrong length is still found.
func (d *Decoder) Quiet(found func(Found)) {
	if d.Partial() {
		d.Counts.Cut++
		d.take(found, true)
	}
	d.lost = false
}

// Skip tells the decoder that some bytes of the line were not received here: a frame that has begun is dropped and not
// counted as a fault of the line.
func (d *Decoder) Skip() {
	clear(d.held)
	d.held, d.lost = d.held[:0], true
}

// take reads what is held. last says that no more comes.
func (d *Decoder) take(found func(Found), last bool) {
	at := 0
	for at < len(d.held) {
		n, body, v := d.p.cut(d.held[at:])
		if v == more {
			full := at == 0 && len(d.held) == cap(d.held)
			if !full && !last {
				break
			}
			n, v = 1, noise
			if full {
				v = oversize
			}
		}
		d.count(v)
		if v == sound || v == control && body != nil {
			f, ok := d.p.read(body)
			if !ok {
				d.Counts.Refused++
			} else if f.Kind != Nothing {
				found(f)
			}
		}
		at += n
	}
	n := copy(d.held, d.held[at:])
	clear(d.held[n:])
	d.held = d.held[:n]
}

func (d *Decoder) count(v verdict) {
	switch v {
	case sound:
		d.Counts.Frames++
		d.lost = false
		return
	case control:
		return
	case refusal:
		// Within noise every value is as likely as another.
		if !d.lost {
			d.Counts.NAKs++
		}
		return
	case damaged:
		d.Counts.SumErrors++
	case oversize:
		d.Counts.Oversize++
	}
	if !d.lost {
		d.Counts.Resyncs++
	}
	d.lost = true
}

// single says what a byte outside a frame is.
func single(c byte) (n int, body []byte, v verdict) {
	switch c {
	case nak:
		return 1, nil, refusal
	case ack, enq, eot, can:
		return 1, nil, control
	}
	return 1, nil, noise
}

// plain returns b if it is 1 to most letters and digits, which codes and terminal numbers are made of.
func plain(b []byte, most int) string {
	if len(b) > most {
		return ""
	}
	for _, c := range b {
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return ""
		}
	}
	return string(b)
}
