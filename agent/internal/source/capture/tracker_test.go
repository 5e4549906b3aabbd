package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/report"
	"posdx/drivers/ecr"
)

const (
	plantedPAN   = "6222020000000003"
	plantedTrack = "6222020000000003D30122011758928889"
	plantedPIN   = "\xe3\x19\xc5\x70\x8a\xf2\x46\xbd"
)

// A fakeSink keeps what it is told.
type fakeSink struct {
	mu    sync.Mutex
	seen  []source.Seen
	marks []source.TxnMark
	facts []report.Evidence
	lost  map[string]int
	room  int // codes taken before it is full; 0: any number
}

func (s *fakeSink) Seen(c source.Seen) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room > 0 && len(s.seen) >= s.room {
		return false
	}
	s.seen = append(s.seen, c)
	return true
}
func (s *fakeSink) Txn(m source.TxnMark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = append(s.marks, m)
}
func (s *fakeSink) Fact(e report.Evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts = append(s.facts, e)
}
func (s *fakeSink) Lost(kind string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.lost = map[string]int{}
	}
	s.lost[kind] += n
}

// nothing is a sink that forgets.
type nothing struct{}

func (nothing) Seen(source.Seen) bool { return true }
func (nothing) Txn(source.TxnMark)    {}
func (nothing) Fact(report.Evidence)  {}
func (nothing) Lost(string, int)      {}

func (s *fakeSink) codes() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.seen {
		list = append(list, c.Txn.MTI+" "+c.Txn.STAN+" "+c.Code+" "+string(c.Origin))
	}
	return list
}

func (s *fakeSink) all() []source.Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s *fakeSink) evidence() []report.Evidence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.facts)
}

// clean fails if anything of a planted card is in what the sink was told, or in what the tracker holds.
func (s *fakeSink) clean(t testing.TB, held ...any) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("%+v %+v %+v %+v %+v", s.seen, s.marks, s.facts, s.lost, held)
	b, err := json.Marshal([]any{s.seen, s.marks, s.facts})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{plantedPAN[:10], plantedTrack[17:], plantedPIN, "62220200", "b\"\x02\x00"} {
		if strings.Contains(text, secret) || bytes.Contains(b, []byte(secret)) {
			t.Fatalf("%q got out: %s", secret, text)
		}
	}
	if _, n := report.Scrub(b); n > 0 {
		t.Fatalf("a card number got out: %s", b)
	}
}

var (
	terminal4 = netip.MustParseAddrPort("192.168.1.23:40001")
	host4     = netip.MustParseAddrPort("203.0.113.10:8583")
	terminal6 = netip.MustParseAddrPort("[2001:db8::23]:40001")
	host6     = netip.MustParseAddrPort("[2001:db8:1::10]:8583")
	begun     = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

func track(s source.Sink) *tracker {
	t := newTracker(s)
	t.hosts = map[netip.AddrPort]string{host4: "host-primary", host6: "host-backup"}
	return t
}

// packet writes an IP packet as RFC 791, 8200 and 9293 lay it out.
func packet(from, to netip.AddrPort, flags byte, seq, ack uint32, data []byte) []byte {
	tcp := make([]byte, 24, 24+len(data)) // with an option, of no operations
	binary.BigEndian.PutUint16(tcp, from.Port())
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	binary.BigEndian.PutUint32(tcp[8:], ack)
	tcp[12], tcp[13] = 6<<4, flags
	copy(tcp[20:], []byte{1, 1, 1, 1})
	tcp = append(tcp, data...)
	if from.Addr().Is4() {
		ip := make([]byte, 20, 20+len(tcp))
		ip[0], ip[8], ip[9] = 0x45, 64, 6
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(tcp)))
		copy(ip[12:], from.Addr().AsSlice())
		copy(ip[16:], to.Addr().AsSlice())
		return append(ip, tcp...)
	}
	ip := make([]byte, 40, 40+len(tcp))
	ip[0], ip[6], ip[7] = 0x60, 6, 64
	binary.BigEndian.PutUint16(ip[4:], uint16(len(tcp)))
	copy(ip[8:], from.Addr().AsSlice())
	copy(ip[24:], to.Addr().AsSlice())
	return append(ip, tcp...)
}

// A line is a connection as it passes: time runs as it is told to.
type line struct {
	*tracker
	t              testing.TB
	terminal, host netip.AddrPort
	at             time.Time
	up, down       uint32 // next sequence numbers
}

func newLine(t testing.TB, k *tracker, isn uint32) *line {
	return &line{tracker: k, t: t, terminal: terminal4, host: host4, at: begun, up: isn, down: isn + 77777}
}

func (l *line) wait(ms int) { l.at = l.at.Add(time.Duration(ms) * time.Millisecond) }

func (l *line) put(up bool, flags byte, seq, ack uint32, data []byte) {
	l.t.Helper()
	from, to := l.terminal, l.host
	if !up {
		from, to = to, from
	}
	l.packet(l.at, 2, packet(from, to, flags, seq, ack, data))
}

func (l *line) connect(ms int) {
	l.put(true, flagSYN, l.up, 0, nil)
	l.wait(ms)
	l.put(false, flagSYN|flagACK, l.down, l.up+1, nil)
	l.up, l.down = l.up+1, l.down+1
	l.put(true, flagACK, l.up, l.down, nil)
}

func (l *line) say(up bool, segments ...[]byte) {
	for _, b := range segments {
		if up {
			l.put(true, flagACK, l.up, l.down, b)
			l.up += uint32(len(b))
		} else {
			l.put(false, flagACK, l.down, l.up, b)
			l.down += uint32(len(b))
		}
	}
}

func (l *line) hangUp() {
	l.put(true, flagFIN|flagACK, l.up, l.down, nil)
	l.put(false, flagFIN|flagACK, l.down, l.up+1, nil)
	l.put(true, flagACK, l.up+1, l.down+1, nil)
}

// message builds a message with card data in every field that may carry some.
func message(t testing.TB, mti, stan, code string) []byte {
	t.Helper()
	f := map[int]string{2: plantedPAN, 3: "000000", 11: stan, 35: plantedTrack, 41: "10077120", 44: plantedPAN, 52: plantedPIN,
		55: "\x57\x11" + plantedPIN + "\x5a\x08" + plantedPIN, 62: plantedPAN, 63: plantedTrack, 64: plantedPIN}
	if code != "" {
		f[39] = code
	}
	b, err := ecr.Build(ecr.UnionPay(), ecr.Head{TPDU: "6000030000", Header: "602200000000"}, mti, f)
	if err != nil {
		t.Fatal(err)
	}
	return ecr.Binary2.Append(nil, b)
}

func same(t testing.TB, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Fatalf("got  %s\nwant %s", g, w)
	}
}

func TestSale(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		s := &fakeSink{}
		l := newLine(t, track(s), 1000)
		target := "host-primary"
		if v6 {
			l.terminal, l.host, target = terminal6, host6, "host-backup"
		}
		l.connect(41)
		l.say(true, message(t, "0200", "000123", ""))
		l.wait(812)
		l.say(false, message(t, "0210", "000123", "96"))
		l.hangUp()
		same(t, s.codes(), "[0210 000123 96 host]")
		x := s.seen[0]
		if x.Channel != report.ChannelCapture || *x.Txn.ConnectMS != 41 || *x.Txn.ResponseMS != 812 || !*x.Txn.Sent ||
			!*x.Txn.HostAnswerSeen ||
			x.Txn.TerminalID != "10077120" || !x.Time.Equal(begun.Add(853*time.Millisecond)) {
			t.Errorf("seen %+v %+v", x, x.Txn)
		}
		if len(s.facts) != 1 || s.facts[0].Check != "net.tcp" || s.facts[0].Subject != target ||
			s.facts[0].Status != report.OK || s.facts[0].Facts["ms"] != 41.0 {
			t.Errorf("facts %+v", s.facts)
		}
		if len(s.marks) != 2 || s.marks[0].Phase != source.PhaseSent || s.marks[1].Phase != source.PhaseAnswered {
			t.Errorf("marks %+v", s.marks)
		}
		s.clean(t)
		if l.held != 0 || len(l.waiting) != 0 {
			t.Errorf("%d bytes held, %d codes wait", l.held, len(l.waiting))
		}
	}
}

// Two requests at a time, answered in the other order, and a reset that is not the host's.
func TestAnswersFindTheirRequests(t *testing.T) {
	s := &fakeSink{}
	l := newLine(t, track(s), 1000)
	l.connect(1)
	l.say(true, message(t, "0200", "000001", ""))
	l.wait(100)
	l.say(true, message(t, "0200", "000002", ""))
	l.put(false, flagRST, l.down-5000, 0, nil)
	l.put(true, flagRST, l.up+1<<30, 0, nil)
	l.wait(50)
	l.say(false, message(t, "0210", "000002", "96"))
	l.wait(1000)
	l.say(false, message(t, "0210", "000001", "05"))
	same(t, s.codes(), "[0210 000002 96 host 0210 000001 05 host]")
	if a, b := *s.seen[0].Txn.ResponseMS, *s.seen[1].Txn.ResponseMS; a != 50 || b != 1150 {
		t.Errorf("response times %d, %d", a, b)
	}
}

// A deal is one way to cut, double, overlap and mix up what one side sends.
func deal(r *rand.Rand, seq uint32, b []byte) (list []piece) {
	for at := 0; at < len(b); {
		n := min(1+r.IntN(90), len(b)-at)
		from := max(0, at-r.IntN(40)*r.IntN(2)) // an overlap, half of the time
		list = append(list, piece{seq + uint32(from), b[from : at+n]})
		if r.IntN(5) == 0 {
			list = append(list, piece{seq + uint32(at), b[at : at+n]})
		}
		at += n
	}
	for i := range list {
		if j := i + r.IntN(min(6, len(list)-i)); r.IntN(2) == 0 {
			list[i], list[j] = list[j], list[i]
		}
	}
	return list
}

// Whatever TCP may do on the way, each code comes out once, and the sequence numbers may wrap in between.
func TestReassembly(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 30
	}
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 8583))
		s := &fakeSink{}
		l := newLine(t, track(s), uint32(1<<32-1)-uint32(r.IntN(2000)))
		l.connect(3)
		var want []string
		for i := range 3 {
			stan := fmt.Sprintf("%06d", i+1)
			ask, answer := message(t, "0200", stan, ""), message(t, "0210", stan, fmt.Sprintf("9%d", i))
			for _, p := range deal(r, l.up, ask) {
				l.put(true, flagACK, p.seq, l.down, bytes.Clone(p.data))
			}
			l.up += uint32(len(ask))
			for _, p := range deal(r, l.down, answer) {
				l.put(false, flagACK, p.seq, l.up, bytes.Clone(p.data))
			}
			l.down += uint32(len(answer))
			want = append(want, fmt.Sprintf("0210 %s 9%d host", stan, i))
		}
		l.hangUp()
		if got := s.codes(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("round %d: got %v, want %v", round, got, want)
		}
		if l.held != 0 || l.gaps != 0 {
			t.Fatalf("round %d: %d bytes held, %d gaps", round, l.held, l.gaps)
		}
		s.clean(t)
	}
}

// A packet that did not reach this process, and was received all the same, costs its own message.
func TestGap(t *testing.T) {
	s := &fakeSink{}
	l := newLine(t, track(s), 1)
	l.connect(1)
	for i := range 5 {
		stan := fmt.Sprintf("%06d", i)
		ask, answer := message(t, "0200", stan, ""), message(t, "0210", stan, "96")
		l.say(true, ask)
		if i == 2 {
			l.down += 30 // the first part
			l.say(false, answer[30:])
			continue
		}
		l.say(false, answer)
	}
	l.hangUp()
	same(t, s.codes(), "[0210 000000 96 host 0210 000001 96 host 0210 000003 96 host 0210 000004 96 host]")
	if l.gaps != 1 || l.counts.messages != 9 {
		t.Errorf("%d gaps, %+v", l.gaps, l.counts)
	}
	if len(l.recent) != 5 || l.recent[2].end.IsZero() || !l.recent[2].answer.IsZero() {
		t.Errorf("the exchange without an answer: %+v", l.recent[2])
	}
}

func TestStartInTheMiddleOfAConnection(t *testing.T) {
	s := &fakeSink{}
	l := newLine(t, track(s), 1<<31)
	answer := message(t, "0210", "000009", "91")
	l.say(false, answer[40:]) // the end of one
	l.say(true, message(t, "0200", "000010", ""))
	l.wait(20)
	l.say(false, answer[:0], message(t, "0210", "000010", "96"))
	same(t, s.codes(), "[0210 000010 96 host]")
	if x := s.seen[0].Txn; x.ConnectMS != nil || *x.ResponseMS != 20 {
		t.Errorf("%+v", x)
	}
	// An answer without its request has no response time, but it is an answer.
	l.say(false, message(t, "0210", "000011", "05"))
	if x := s.seen[1].Txn; x.ResponseMS != nil || !*x.HostAnswerSeen {
		t.Errorf("%+v", x)
	}
}

func TestConnectionsThatFail(t *testing.T) {
	outcome := func(s *fakeSink) string {
		var list []string
		for _, e := range s.facts {
			list = append(list, fmt.Sprintf("%s %s %v %v %v", e.Check, e.Subject, e.Status, e.Facts["outcome"], e.Facts["ms"]))
		}
		return strings.Join(list, "; ")
	}
	s := &fakeSink{}
	l := newLine(t, track(s), 1)
	l.put(true, flagSYN, l.up, 0, nil)
	l.wait(30)
	l.put(false, flagRST|flagACK, 0, l.up+1, nil)
	same(t, outcome(s), "net.tcp host-primary bad refused 30")

	s = &fakeSink{}
	l = newLine(t, track(s), 1)
	for _, ms := range []int{1000, 2000, 4000} {
		l.put(true, flagSYN, l.up, 0, nil)
		l.wait(ms)
	}
	same(t, outcome(s), "net.tcp host-primary bad timeout 3000")

	s = &fakeSink{}
	l = newLine(t, track(s), 1)
	l.connect(10)
	l.say(true, message(t, "0200", "000001", ""))
	l.put(false, flagRST, l.down-500, 0, nil) // out of the window: not from the host
	l.put(false, flagRST|flagACK, l.down, l.up, nil)
	same(t, outcome(s), "net.tcp host-primary ok ok 10; net.tcp host-primary bad reset 0")
	if len(l.recent) != 1 || l.recent[0].end.IsZero() {
		t.Errorf("exchange %+v", l.recent)
	}
}

// The same ports again, and what the first connection still sends again, make nothing twice.
func TestPortsAreUsedAgain(t *testing.T) {
	s := &fakeSink{}
	k := track(s)
	l := newLine(t, k, 5)
	l.connect(1)
	ask, answer := message(t, "0200", "000001", ""), message(t, "0210", "000001", "96")
	l.say(true, bytes.Clone(ask))
	l.say(false, bytes.Clone(answer))
	l.hangUp()
	l.put(false, flagACK|flagFIN, l.down-uint32(len(answer)), l.up+1, bytes.Clone(answer)) // the acknowledgement was lost
	same(t, s.codes(), "[0210 000001 96 host]")
	l = newLine(t, k, 900000)
	l.connect(1)
	l.say(true, message(t, "0200", "000002", ""))
	l.say(false, message(t, "0210", "000002", "97"))
	same(t, s.codes(), "[0210 000001 96 host 0210 000002 97 host]")
}

// A host seen on two interfaces, of a VLAN or a bridge, repeats nothing; a keep-alive probe neither.
func TestWhatIsNoRetransmission(t *testing.T) {
	s := &fakeSink{}
	k := track(s)
	l := newLine(t, k, 5)
	both := func(up bool, flags byte, seq, ack uint32, data []byte) {
		from, to := l.terminal, l.host
		if !up {
			from, to = to, from
		}
		l.packet(l.at, 2, packet(from, to, flags, seq, ack, data))
		l.packet(l.at, 7, packet(from, to, flags, seq, ack, data))
	}
	both(true, flagSYN, l.up, 0, nil)
	both(true, flagSYN, l.up, 0, nil)
	l.wait(5)
	both(false, flagSYN|flagACK, l.down, l.up+1, nil)
	l.up, l.down = l.up+1, l.down+1
	for i := range 12 {
		stan := fmt.Sprintf("%06d", i)
		ask, answer := message(t, "0200", stan, ""), message(t, "0210", stan, "51")
		both(true, flagACK, l.up, l.down, ask)
		l.up += uint32(len(ask))
		both(false, flagACK, l.down, l.up, answer)
		l.down += uint32(len(answer))
		both(true, flagACK, l.up-1, l.down, []byte{0})
		if i == 3 {
			both(true, flagACK, l.up-uint32(len(ask)), l.down, ask) // this one is
		}
	}
	if len(s.codes()) != 12 {
		t.Errorf("codes %v", s.codes())
	}
	last := s.facts[len(s.facts)-1]
	if s.facts[0].Facts["retrans"] != 1.0 || last.Check != "net.path" || last.Facts["loss_pct"] != 5.0 && last.Facts["loss_pct"] != 4.0 || last.Facts["level"] == "good" {
		t.Errorf("facts %+v", s.facts)
	}
}

func TestLossIsEvidence(t *testing.T) {
	s := &fakeSink{}
	l := newLine(t, track(s), 5)
	l.connect(80)
	for i := range 8 {
		stan := fmt.Sprintf("%06d", i)
		ask, answer := message(t, "0200", stan, ""), message(t, "0210", stan, "51")
		l.say(true, bytes.Clone(ask))
		l.wait(300)
		l.put(true, flagACK, l.up-uint32(len(ask)), l.down, bytes.Clone(ask)) // sent again
		// The first half of the answer is lost before it gets here, and sent again later.
		l.put(false, flagACK, l.down+50, l.up, bytes.Clone(answer[50:]))
		l.wait(200)
		l.put(false, flagACK, l.down, l.up, bytes.Clone(answer[:50]))
		l.down += uint32(len(answer))
	}
	e := s.facts[len(s.facts)-1]
	if loss, _ := e.Facts.Num("loss_pct"); e.Check != "net.path" || e.Status != report.Bad || loss < 40 || loss > 60 || e.Facts["rtt_ms"] != 80.0 {
		t.Errorf("facts %+v", s.facts)
	}
}

func TestReversalTellsTheTerminalsReason(t *testing.T) {
	s := &fakeSink{}
	k := track(s)
	l := newLine(t, k, 5)
	l.connect(1)
	l.say(true, message(t, "0200", "000007", ""))
	l.wait(60000)
	l.hangUp()
	for range 3 { // it is sent until somebody answers
		l = newLine(t, k, l.up+10000)
		l.connect(1)
		l.say(true, message(t, "0400", "000007", "98"))
		l.hangUp()
	}
	l = newLine(t, k, l.up+10000)
	l.connect(1)
	l.say(true, message(t, "0400", "000007", "98"))
	l.say(false, message(t, "0410", "000007", "00"))
	same(t, s.codes(), "[0400 000007 98 terminal 0410 000007 00 host]")
	if x := s.seen[0].Txn; *x.HostAnswerSeen || !*x.Sent {
		t.Errorf("%+v", x)
	}
}

// An answer that comes when the application has given up was read by nobody: it approves nothing. One that has only
// said that it sends no more does read it.
func TestLateAnswer(t *testing.T) {
	for ms, want := range map[int]string{10: "[0210 000001 00 host]", 60000: "[]"} {
		s := &fakeSink{}
		l := newLine(t, track(s), 5)
		l.connect(1)
		l.say(true, message(t, "0200", "000001", ""))
		l.wait(ms)
		l.put(true, flagFIN|flagACK, l.up, l.down, nil)
		l.up++
		l.wait(500)
		l.say(false, message(t, "0210", "000001", "00"))
		same(t, s.codes(), want)
		x := source.Seen{Code: "E1", Origin: report.OriginTerminal, Channel: report.ChannelHook}
		if l.fill(&x, l.at); (x.Txn != nil) != (want == "[]") || x.Txn != nil && *x.Txn.HostAnswerSeen {
			t.Errorf("after %d ms: %+v", ms, x.Txn)
		}
	}
}

func TestFullSinkIsOfferedAgain(t *testing.T) {
	s := &fakeSink{room: 1}
	l := newLine(t, track(s), 5)
	l.connect(1)
	for i := range maxSeen + 3 {
		stan := fmt.Sprintf("%06d", i)
		l.say(true, message(t, "0200", stan, ""))
		l.say(false, message(t, "0210", stan, "96"))
	}
	if len(s.seen) != 1 || len(l.waiting) != maxSeen || s.lost["wire code"] != 2 {
		t.Fatalf("%d seen, %d wait, lost %v", len(s.seen), len(l.waiting), s.lost)
	}
	s.room = 0
	l.offer()
	if len(s.seen) != maxSeen+1 || len(l.waiting) != 0 || s.seen[1].Txn.STAN != "000003" {
		t.Errorf("%d seen, %d wait", len(s.seen), len(l.waiting))
	}
}

// Endless streams, lies and many connections leave the memory as it is.
func TestBounds(t *testing.T) {
	s := &fakeSink{}
	k := track(s)
	r := rand.New(rand.NewPCG(1, 1))
	junk := make([]byte, 1400)
	for i := range 8000 {
		l := &line{tracker: k, t: t, terminal: netip.AddrPortFrom(terminal4.Addr(), uint16(1+i%3000)), host: host4, at: begun}
		for j := range junk {
			junk[j] = byte(r.Uint32())
		}
		l.put(r.IntN(2) == 0, byte(r.IntN(32)), r.Uint32()>>uint(r.IntN(32)), r.Uint32()>>uint(r.IntN(32)),
			junk[:r.IntN(len(junk))])
		if len(k.flows) > maxFlows || k.held > maxWaiting || k.held < 0 || len(k.recent) > maxExchanges ||
			len(k.waiting) > maxSeen {
			t.Fatalf("%d flows, %d bytes, %d exchanges, %d codes", len(k.flows), k.held, len(k.recent), len(k.waiting))
		}
	}
	k.drop()
	if k.held != 0 || len(k.flows) != 0 {
		t.Errorf("dropped, and yet %d bytes", k.held)
	}
	// Every connection has a hole, and more and more behind it.
	for i := range 20 * maxFlows {
		l := &line{tracker: k, t: t, terminal: netip.AddrPortFrom(terminal4.Addr(), uint16(1+i%maxFlows)), host: host4,
			at: begun, up: 7, down: 9}
		if i < maxFlows {
			l.connect(1)
		}
		for j := range 4 {
			l.put(j%2 == 0, flagACK, 2000+uint32(1400*i+j), 10, junk)
		}
		if k.held > maxWaiting || i == 10*maxFlows && k.held < maxWaiting/2 {
			t.Fatalf("%d bytes held", k.held)
		}
	}
	k.drop()
	if k.held != 0 {
		t.Errorf("dropped, and yet %d bytes", k.held)
	}
}
