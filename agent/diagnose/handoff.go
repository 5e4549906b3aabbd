package diagnose

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
	"unicode"

	"posdx/agent/evidence"
	"posdx/agent/internal/say"
	"posdx/agent/report"
	"posdx/codes"
)

// A hand-off code is 20 letters in five groups, 24 characters with its dashes, that a person reads out on the phone. It
// holds 100 bits; the last twelve are a checksum. Version 1 has room for 64 schemes and 256 causes; for these its hours
// wrap after 170 days, and the latest that is not in the future is meant. Version 0 is read for ever. A later version
// would have another length.
//
//	version 1: 1 version · 22 code · 6 scheme · 2 origin · 8+8 causes · 2 confidence · 5 money · 8 five layers ·
//	           14 terminal · 12 hour · 12 checksum
//	version 0: 1 version · 22 code · 4 scheme · 2 origin · 7+7 causes · 2 confidence · 5 money · 8 five layers ·
//	           14 terminal · 16 hour · 12 checksum
const (
	handoffAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford: no I, L, O, U
	handoffLetters  = 20
	handoffGroup    = 4

	codeBits   = 22
	codeSpace  = 37 * 37 * 37 * 37 // up to four characters of 0-9 A-Z and blank; above it a hash
	lastDigits = 10000             // terminal ids are told by their last four digits, others by a hash above that
)

// A handoffForm is how many bits a version gives to what differs.
type handoffForm struct{ scheme, cause, hour int }

var handoffForms = [...]handoffForm{{scheme: 4, cause: 7, hour: 16}, {scheme: 6, cause: 8, hour: 12}}

// handoffVersion is what is written.
const handoffVersion = 1

// handoffEpoch is where the hours of a hand-off code begin.
var handoffEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	handoffOrigins = [...]report.Origin{report.OriginUnknown, report.OriginHost, report.OriginTerminal,
		report.OriginCashier}
	handoffStates = [...]string{report.MoneyUnknown, report.MoneyNotSent, report.MoneySentNoAnswer, report.MoneyDeclined,
		report.MoneyApproved}
	handoffRetries = [...]string{report.RetryNo, report.RetrySafe, report.RetryLater, report.RetryQueryFirst,
		report.RetryAfterSignin, report.RetryOtherMeans}
	handoffSure = [...]string{"abstained", "possible", "likely", "confirmed"}

	// handoffLayers are the facts of a hand-off code, each ok, bad or not known.
	handoffLayers = [...]struct {
		name, check string
		title       codes.Text
	}{
		{"answer", "txn.answer", codes.Text{ZH: "主机应答", EN: "answer"}}, {"link", "net.link", codes.Text{ZH: "网络连线", EN: "link"}},
		{"internet", "net.internet", codes.Text{ZH: "外网", EN: "internet"}}, {"host", "net.tcp", codes.Text{ZH: "连接主机", EN: "host"}},
		{"reader", "reader.port", codes.Text{ZH: "读卡器", EN: "reader"}},
	}
)

// A Handoff is what a hand-off code tells. A code has room for few facts, so anything it does not tell is empty or
// unknown.
type Handoff struct {
	Code     string            `json:"code"`     // "" if no table of this knowledge has a code of this hash
	Scheme   string            `json:"scheme"`   // "" if this knowledge has no number for it
	Origin   report.Origin     `json:"origin"`   // who wrote the code
	Causes   []string          `json:"causes"`   // ids, two at most, the most probable first
	Sure     string            `json:"sure"`     // abstained possible likely confirmed
	State    string            `json:"state"`    // of the money, as report.Money.State
	Retry    string            `json:"retry"`    // as report.Money.Retry
	Layers   map[string]string `json:"layers"`   // of answer link internet host reader each ok bad unknown
	Terminal string            `json:"terminal"` // last four digits of its id, or "#" and a hash of it; "" if not known
	Hour     time.Time         `json:"hour"`     // in which it happened, by the terminal's clock
}

type bits struct {
	b [13]byte // 104 bits, of which the first 100 are used
	n int
}

func (b *bits) put(v uint32, width int) {
	for i := width - 1; i >= 0; i-- {
		if v>>i&1 == 1 {
			b.b[b.n/8] |= 0x80 >> (b.n % 8)
		}
		b.n++
	}
}

func (b *bits) get(width int) (v uint32) {
	for range width {
		v = v<<1 | uint32(b.b[b.n/8]>>(7-b.n%8)&1)
		b.n++
	}
	return v
}

// checksum is over the 88 bits before it: in version 0 a piece of CRC-32, since then CRC-12 (0x80F), which notices
// every wrong letter and every two neighbours that changed places, whatever the rest is.
func (b *bits) checksum() uint32 {
	if b.b[0]&0x80 == 0 {
		return crc32.ChecksumIEEE(b.b[:11]) & 0xfff
	}
	crc := uint32(0xfff)
	for _, v := range b.b[:11] {
		crc ^= uint32(v) << 4
		for range 8 {
			if crc <<= 1; crc&0x1000 != 0 {
				crc ^= 0x180f
			}
		}
	}
	return crc & 0xfff
}

// handoff writes the code of a diagnosis; see the top of this file for its form.
func (s *state) handoff(d *report.Diagnosis) string {
	var b bits
	form := handoffForms[handoffVersion]
	b.put(handoffVersion, 1)
	b.put(codeNumber(d.Event.Code), codeBits)
	scheme := d.Code.Scheme
	if !d.Code.Known {
		scheme = ""
	}
	b.put(numberOf(s.f, "scheme", scheme), form.scheme)
	b.put(index(handoffOrigins[:], d.Event.Origin), 2)
	named := 0
	for _, c := range d.Causes {
		// A second one that the page does not show would be read as another suspect.
		told := named == 0 || c.Probability >= shownOtherMin
		if d.Abstained {
			told = c.ID == report.Unexplained || slices.Contains(d.CannotSeparate, c.ID)
		}
		if named < 2 && told && (c.ID != report.Unexplained || d.Abstained) {
			b.put(numberOf(s.f, "cause", c.ID), form.cause)
			named++
		}
	}
	for ; named < 2; named++ {
		b.put(0, form.cause)
	}
	sure := d.Causes[0].Verdict
	if d.Abstained {
		sure = "abstained"
	} else if !slices.Contains(handoffSure[:], sure) {
		sure = "possible"
	}
	b.put(index(handoffSure[:], sure), 2)
	b.put(index(handoffStates[:], d.Money.State)*uint32(len(handoffRetries))+index(handoffRetries[:], d.Money.Retry), 5)
	layers := uint32(0)
	for i := range handoffLayers {
		layers = layers*3 + s.layer(handoffLayers[i].check)
	}
	b.put(layers, 8)
	terminal := ""
	if d.Event.Txn != nil {
		terminal = d.Event.Txn.TerminalID
	}
	b.put(terminalNumber(terminal), 14)
	b.put(uint32(d.Event.Time.Sub(handoffEpoch)/time.Hour)&(1<<form.hour-1), form.hour)
	b.put(b.checksum(), 12)
	b.n = 0
	var out strings.Builder
	for i := range handoffLetters {
		if i > 0 && i%handoffGroup == 0 {
			out.WriteByte('-')
		}
		out.WriteByte(handoffAlphabet[b.get(5)])
	}
	return out.String()
}

// layer is 0 for not known, 1 for ok, 2 for bad.
func (s *state) layer(check string) uint32 {
	if check == "txn.answer" {
		switch {
		case s.txn.answered(s.ev.Origin):
			return 1
		case no(s.txn.answer):
			return 2
		}
		return 0
	}
	it := s.First(evidence.Check(check))
	switch {
	case it == nil:
		return 0
	case it.Bad():
		return 2
	}
	return 1
}

func index[T comparable](list []T, v T) uint32 { return uint32(max(0, slices.Index(list, v))) }

// numberOf returns the number of a cause or scheme, 0 if it has none.
func numberOf(f *codes.Inference, kind, id string) uint32 {
	for _, n := range f.Numbers {
		if n.Kind == kind && n.ID == id {
			return uint32(n.Number)
		}
	}
	return 0
}

func idOf(f *codes.Inference, kind string, number uint32) string {
	for _, n := range f.Numbers {
		if n.Kind == kind && uint32(n.Number) == number {
			return n.ID
		}
	}
	return ""
}

const codeLetters = " 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// codeNumber packs a code of up to four letters and digits; any other is a hash that the tables are searched for.
func codeNumber(code string) uint32 {
	n := uint32(0)
	if len(code) <= 4 {
		for i := range 4 {
			letter := byte(' ')
			if i < len(code) {
				letter = code[i]
			}
			at := strings.IndexByte(codeLetters, letter)
			if at < 0 || at == 0 && i < len(code) {
				return codeHash(code)
			}
			n = n*37 + uint32(at)
		}
		return n
	}
	return codeHash(code)
}

func codeHash(code string) uint32 {
	return codeSpace + crc32.ChecksumIEEE([]byte(code))%(1<<codeBits-codeSpace)
}

func terminalNumber(id string) uint32 {
	if id == "" {
		return 1<<14 - 1
	}
	if len(id) >= 4 {
		n, digits := uint32(0), true
		for _, c := range []byte(id[len(id)-4:]) {
			digits = digits && c >= '0' && c <= '9'
			n = n*10 + uint32(c-'0')
		}
		if digits {
			return n
		}
	}
	return lastDigits + crc32.ChecksumIEEE([]byte(id))%(1<<14-1-lastDigits)
}

var errHandoff = say.New("handoff-misheard")

// DecodeHandoff reads a hand-off code as a person types it: blanks, dashes of any kind, small and full-width letters
// do not matter, and letters that are easily misheard or misread (O for 0, I and L for 1) are taken for what they look
// like. A code holds its hour modulo a period; the latest such hour that is not after now is taken. The error says
// that the code was misheard: its check sum is wrong or it has another length.
func DecodeHandoff(text string, now time.Time, k *codes.Knowledge) (Handoff, error) {
	var letters []byte
	for _, c := range strings.ToUpper(codes.Normalise(text)) {
		switch {
		case unicode.IsSpace(c) || unicode.Is(unicode.Pd, c) || c == '\u2212' || c == '.' || c == '_':
			continue
		case c == 'O':
			c = '0'
		case c == 'I' || c == 'L':
			c = '1'
		}
		if !strings.ContainsRune(handoffAlphabet, c) {
			return Handoff{}, say.New("handoff-letter", text, c, len(letters)/handoffGroup+1)
		}
		letters = append(letters, byte(c))
	}
	if len(letters) != handoffLetters {
		return Handoff{}, say.New("handoff-length", text, len(letters), handoffLetters, handoffGroup)
	}
	b, ok := handoffBits(letters)
	if !ok {
		return Handoff{}, say.New("handoff-wrong", text, errHandoff, suspectGroup(letters))
	}
	return b.decode(text, now, k)
}

// handoffBits packs letters of the alphabet, and tells whether the checksum is right.
func handoffBits(letters []byte) (bits, bool) {
	var b bits
	for _, c := range letters {
		b.put(uint32(strings.IndexByte(handoffAlphabet, c)), 5)
	}
	b.n = 88
	sum := b.get(12)
	return b, b.checksum() == sum
}

// suspectGroup names the group of letters to be checked first: the one in which a single other letter, or two that
// change places, would make the code right. It is empty where that fits none or several.
func suspectGroup(letters []byte) say.Message {
	group := 0
	try := func(at int) (several bool) {
		if _, ok := handoffBits(letters); ok {
			g := at/handoffGroup + 1
			several = group != 0 && group != g
			group = g
		}
		return several
	}
	for i := range letters {
		was := letters[i]
		for _, c := range []byte(handoffAlphabet) {
			letters[i] = c
			if c != was && try(i) {
				letters[i] = was
				return say.New("nothing")
			}
		}
		letters[i] = was
		if i > 0 && letters[i] != letters[i-1] {
			letters[i], letters[i-1] = letters[i-1], letters[i]
			several := try(i)
			letters[i], letters[i-1] = letters[i-1], letters[i]
			if several {
				return say.New("nothing")
			}
		}
	}
	if group == 0 {
		return say.New("nothing")
	}
	return say.New("handoff-group", group)
}

// decode reads what stands in a code whose check sum is right; text is what the person typed, for errors.
func (b *bits) decode(text string, now time.Time, k *codes.Knowledge) (Handoff, error) {
	var h Handoff
	f := &k.Inference
	b.n = 0
	form := handoffForms[b.get(1)]
	code := b.get(codeBits)
	h.Scheme = idOf(f, "scheme", b.get(form.scheme))
	h.Code = findCode(k, h.Scheme, code)
	h.Origin = handoffOrigins[b.get(2)]
	h.Causes = []string{}
	for range 2 {
		if id := idOf(f, "cause", b.get(form.cause)); id != "" {
			h.Causes = append(h.Causes, id)
		}
	}
	h.Sure = handoffSure[b.get(2)]
	money := b.get(5)
	if int(money) >= len(handoffStates)*len(handoffRetries) {
		return h, say.New("handoff-nothing", text, errHandoff)
	}
	h.State, h.Retry = handoffStates[money/uint32(len(handoffRetries))], handoffRetries[money%uint32(len(handoffRetries))]
	layers := b.get(8)
	h.Layers = map[string]string{}
	for i := len(handoffLayers) - 1; i >= 0; i-- {
		h.Layers[handoffLayers[i].name] = [...]string{"unknown", "ok", "bad"}[layers%3]
		layers /= 3
	}
	switch terminal := b.get(14); {
	case terminal < lastDigits:
		h.Terminal = fmt.Sprintf("%04d", terminal)
	case terminal != 1<<14-1:
		h.Terminal = fmt.Sprintf("#%d", terminal-lastDigits)
	}
	h.Hour = handoffHour(b.get(form.hour), form.hour, now)
	return h, nil
}

// handoffHour returns the hour that a wrapped one stands for: the latest that is not after tomorrow, as clocks differ.
func handoffHour(wrapped uint32, width int, now time.Time) time.Time {
	hours := int64(wrapped)
	if latest := int64(now.Add(24*time.Hour).Sub(handoffEpoch) / time.Hour); width < 16 && latest > hours {
		hours += (latest - hours) >> width << width
	}
	return handoffEpoch.Add(time.Duration(hours) * time.Hour)
}

// findCode returns the code that a number stands for, "" for a hash that no code of the scheme has (of any scheme,
// where that is "").
func findCode(k *codes.Knowledge, scheme string, number uint32) string {
	if number < codeSpace {
		var c [4]byte
		for i := 3; i >= 0; i-- {
			c[i] = codeLetters[number%37]
			number /= 37
		}
		return strings.TrimRight(string(c[:]), " ")
	}
	for _, m := range k.Meanings {
		_, bare, _ := strings.Cut(m.Code, ":")
		if scheme == "" || m.Scheme == scheme {
			if codeHash(m.Code) == number {
				return m.Code
			}
			if bare != "" && codeHash(bare) == number {
				return bare
			}
		}
	}
	return ""
}

func layerWord(k *codes.Knowledge, layer string) codes.Text {
	if layer == "unknown" {
		return k.Word("status", string(report.NotRun))
	}
	return k.Word("status", layer)
}

// Text describes a decoded hand-off code in sentences, a line each.
func (h Handoff) Text(k *codes.Knowledge, lang string) string {
	w := textWriter{width: 80}
	say := func(zh, en string) string { return codes.Text{ZH: zh, EN: en}.In(lang) }
	code := h.Code
	if code == "" {
		code = say("（不在本机的表里）", "(in no table here)")
	}
	w.line(say("应答码", "code"), strings.TrimSpace(code+"  "+h.Scheme+"  "+k.Word("origin", string(h.Origin)).In(lang)))
	for i, id := range h.Causes {
		title := id
		if c, ok := k.Cause(id); ok {
			title = c.Title.In(lang) + "  [" + id + "]"
		}
		if i == 0 {
			title += "  " + k.Word("verdict", h.Sure).In(lang)
		}
		w.line(evidence.Choose(i == 0, say("原因", "cause"), say("其次", "or else")), title)
	}
	by := ""
	if len(h.Causes) > 0 && h.Sure != "abstained" {
		if c, ok := k.Cause(h.Causes[0]); ok {
			by = mender(&c)
		}
	}
	w.line(say("款项", "money"), moneySay(k, h.State, h.Retry, by).In(lang))
	var layers []string
	for _, l := range handoffLayers {
		layers = append(layers, l.title.In(lang)+" "+layerWord(k, h.Layers[l.name]).In(lang))
	}
	w.line(say("检查", "checks"), strings.Join(layers, say("，", ", ")))
	if h.Terminal != "" {
		w.line(say("终端", "terminal"), "…"+h.Terminal)
	}
	w.line(say("时间", "time"), h.Hour.Local().Format("2006-01-02 15:04 MST"))
	return w.b.String()
}
