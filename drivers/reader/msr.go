package reader

// A plain magnetic-stripe reader sends what it read as ASCII: track 1 as %B…^…^…?, track 2 as ;…=…?, track 3 as +…? or
// ;…?, each with or without its check character, a carriage return at the end, and E in the place of a track that it
// could not read. What is looked at here is the class of each byte and the length of each run; no byte is kept.

// A Track is the reading of one track, by the names of UnifiedPOS (MSR ErrorCode: START, END, PARITY, LRC).
type Track byte

// Readings of a track.
const (
	TrackNone     Track = iota // not in the swipe at all
	TrackGood                  // sentinels, separator and a credible length
	TrackBad                   // the reader said E
	TrackBlank                 // sentinels and nothing between them
	TrackNoEnd                 // no end sentinel
	TrackLRC                   // the check character is wrong
	TrackRejected              // none of the above, and no track of a bank card
)

func (t Track) String() string {
	return [...]string{"none", "good", "bad", "blank", "no-end", "lrc", "rejected"}[min(t, TrackRejected)]
}

// A Swipe is what one pass of a card gave.
type Swipe struct {
	Tracks [3]Track
	// NoStart counts data that no start sentinel introduced.
	NoStart bool
}

// Good reports whether a sale can be made of it: track 2 was read, or track 1 where that is enough. Most acquirers take
// track 2 alone (ISO 8583 field 35).
func (s Swipe) Good(track1 bool) bool {
	return s.Tracks[1] == TrackGood || track1 && s.Tracks[0] == TrackGood
}

// Attempt is the swipe as a try to read a card.
func (s Swipe) Attempt(track1 bool) Attempt {
	return Attempt{Head: HeadStripe, OK: s.Good(track1), Tracks: s.Tracks}
}

// Most characters a track has with its sentinels, and fewest that hold an account (ISO/IEC 7811-6, 7813).
const (
	track1Max, track2Max, track3Max = 79, 40, 107
	trackMin                        = 10
)

// MSR classifies the byte stream of a plain reader. The zero value is ready.
type MSR struct {
	swipe   Swipe
	track   int // 0 to 2 inside a track, -1 outside
	inside  bool
	count   int  // characters of the track so far, sentinels included
	parted  bool // a separator was seen
	errored bool // an E came first
	lrc     byte // exclusive-or of the data bits so far
	check   bool // the next byte may be the check character
	second  bool // a second ; is track 3
	any     bool
	stray   int // bytes outside of any track
}

// Push takes one byte. It returns true with the swipe that a carriage return, or the start of another, completed.
func (m *MSR) Push(c byte) (Swipe, bool) {
	if m.check {
		m.check = false
		if c != '\r' && c != '\n' && c != '%' && c != ';' && c != '+' && c != 0x03 {
			// An insertion reader that sends no check character says 1 or 0 here: card in, card out.
			if value(c, m.track) != m.lrc&mask(m.track) && m.swipe.Tracks[m.track] == TrackGood && c != '0' && c != '1' {
				m.swipe.Tracks[m.track] = TrackLRC
			}
			return Swipe{}, false
		}
	}
	switch {
	case c == '\r' || c == 0x03:
		return m.finish()
	case c == '\n' || c == 0x02:
		return Swipe{}, false
	case !m.inside && (c == '%' || c == ';' || c == '+'):
		m.begin(c)
		return Swipe{}, false
	case !m.inside:
		// One 0 or 1 by itself is an insertion reader's word that the card has come or gone.
		if m.stray++; m.stray > 1 || c != '0' && c != '1' {
			m.any, m.swipe.NoStart = true, true
		}
		return Swipe{}, false
	}
	if m.count++; m.count > track3Max {
		m.end(TrackRejected)
		return Swipe{}, false
	}
	m.lrc ^= value(c, m.track)
	switch {
	case c == '?':
		m.end(m.judge())
	case c == 'E' && m.count == 2:
		m.errored = true
	case c == '^' && m.track == 0, c == '=' && m.track > 0:
		m.parted = true
	}
	return Swipe{}, false
}

func (m *MSR) begin(c byte) {
	m.any, m.inside, m.count, m.parted, m.errored = true, true, 1, false, false
	switch {
	case c == '%':
		m.track = 0
	case c == '+' || m.second:
		m.track = 2
	default:
		m.track, m.second = 1, true
	}
	m.lrc = value(c, m.track)
}

func (m *MSR) end(t Track) {
	m.swipe.Tracks[m.track], m.inside, m.check = t, false, t != TrackRejected
}

func (m *MSR) judge() Track {
	limit := [...]int{track1Max, track2Max, track3Max}[m.track]
	switch {
	case m.errored && m.count == 3:
		return TrackBad
	case m.count == 2:
		return TrackBlank
	case m.count > limit || m.count < trackMin || !m.parted && m.track < 2:
		return TrackRejected
	}
	return TrackGood
}

func (m *MSR) finish() (Swipe, bool) {
	if m.inside {
		m.swipe.Tracks[m.track] = TrackNoEnd
	}
	s, any := m.swipe, m.any
	*m = MSR{}
	return s, any
}

// value is a character's data bits on its track: six from 20 on track 1, four from 30 on the others (ISO/IEC 7811-6).
func value(c byte, track int) byte {
	if track == 0 {
		return c - ' '
	}
	return c - '0'
}

func mask(track int) byte {
	if track == 0 {
		return 0x3F
	}
	return 0x0F
}
