package uplink

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/outbox/crashfs"
	"posdx/agent/report"
)

// The tests below run in a bubble with its own clock: hours pass in milliseconds, and a goroutine left behind fails
// the test.

func TestDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		fill(t, box, 3)
		r := start(t, newScript(t), box, Config{}, Handlers{})
		rest(time.Minute)
		fill(t, box, 2)
		rest(time.Second)
		if n, again := r.stored(box.Epoch()); n != 5 || again != 0 {
			t.Errorf("stored %d, %d of them again; want 5, 0", n, again)
		}
		if r.historic != 3 {
			t.Errorf("%d historical, want the 3 from before the connection", r.historic)
		}
		if s := box.Stats(); s.Records != 0 {
			t.Errorf("%d records stay in the box after the ack", s.Records)
		}
		if st := r.State(); !st.Connected || st.LastError != "" {
			t.Errorf("state %+v", st)
		}
		r.stop()
		var order []string
		for _, c := range r.controls("") {
			order = append(order, c.topic+fmt.Sprint(c.retained))
		}
		if got, want := strings.Join(order, " "), "statustrue birthtrue statustrue"; got != want {
			t.Errorf("controls %q, want %q", got, want)
		}
		c := r.controls("status")
		if !strings.Contains(c[0].payload, "online") || !strings.Contains(c[1].payload, "stopped") || len(r.wills) != 0 {
			t.Errorf("status %+v, wills %+v: want online, offline stopped, and no will", c, r.wills)
		}
	})
}

// A token or a PUBACK is not delivery: for days the fleet confirms nothing, and nothing is forgotten.
func TestForgetsOnlyOnAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		fill(t, box, 100)
		s := newScript(t)
		s.noFleet = true
		r := start(t, s, box, Config{}, Handlers{})
		rest(ackTimeout / 2)
		if n, _ := r.stored(box.Epoch()); n > fleetWindow {
			t.Errorf("%d records sent that nobody confirms, window %d", n, fleetWindow)
		}
		rest(48 * time.Hour)
		if n := box.Stats().Records; n != 100 {
			t.Errorf("%d records left without an ack, want 100", n)
		}
		if n, _ := r.stored(box.Epoch()); n != 100 {
			t.Errorf("%d of 100 arrived", n)
		}
		// The line must not be worn out by repeating: at most a window per quarter of an hour, and rebuilt sessions.
		if c := r.Counters(); c.Resent > 48*4*maxWindow || c.Resent == 0 || c.Sent["diagnosis"] != 100+c.Resent {
			t.Errorf("%d records sent again in 48 h, %d sent", c.Resent, c.Sent["diagnosis"])
		}
		t.Logf("48 h without ack: sessions %d, resent %d, sent %d, wire out %d bytes", r.Counters().Sessions, r.Counters().Resent, r.Counters().Sent["diagnosis"], r.Counters().WireOut)
		s.mu.Lock()
		s.noFleet = false
		s.mu.Unlock()
		fill(t, box, 1)
		rest(time.Minute)
		if n := box.Stats().Records; n != 0 {
			t.Errorf("%d records left after a late ack", n)
		}
		r.stop()
	})
}

func TestBrokerThatNeverAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		fill(t, box, 20)
		s := newScript(t)
		s.publish = func(l *link, p *packets.PublishPacket) string {
			if l.n <= 2 && strings.HasSuffix(p.TopicName, "diagnosis") {
				return "swallow"
			}
			return ""
		}
		r := start(t, s, box, Config{}, Handlers{})
		rest(10 * time.Minute)
		if n, _ := r.stored(box.Epoch()); n != 20 || box.Stats().Records != 0 {
			t.Errorf("stored %d of 20, %d left", n, box.Stats().Records)
		}
		if r.connections() != 3 {
			t.Errorf("%d connections, want 3: two that made no progress", r.connections())
		}
		if s.most > 16 {
			t.Errorf("%d in flight: in memory there may be a handful", s.most)
		}
		r.stop()
	})
}

// The library completes tokens without a PUBACK when it resumes; ours never resumes. With delivery by broker a record
// goes only when its PUBACK came on its own connection.
func TestPubackOnItsOwnConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		fill(t, box, 10)
		s := newScript(t)
		s.noFleet = true
		s.publish = func(l *link, p *packets.PublishPacket) string {
			if l.n == 1 && strings.Contains(string(p.Payload), `"seq":4,`) {
				return "cut" // taken, but the terminal cannot know
			}
			return ""
		}
		r := start(t, s, box, Config{Delivery: DeliveryBroker}, Handlers{})
		rest(5 * time.Minute)
		n, again := r.stored(box.Epoch())
		if n != 10 || again == 0 || box.Stats().Records != 0 {
			t.Errorf("stored %d of 10, %d again, %d left: want 10, at least 1 (the one cut), 0", n, again, box.Stats().Records)
		}
		r.stop()
	})
}

func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := newScript(t)
		s.dead = func(n int) bool { return n == 1 }
		r := start(t, s, box, Config{}, Handlers{})
		fill(t, box, 1)
		rest(3 * time.Minute)
		if r.connections() < 2 || box.Stats().Records != 0 {
			t.Errorf("%d connections, %d records left: the dead line was not given up", r.connections(), box.Stats().Records)
		}
		// And one that dies while idle: the ping finds it.
		s.current().dead.Store(true)
		before := r.connections()
		rest(defaultKeepAlive + pingTimeout + firstSpread + 10*time.Second)
		if r.connections() != before+1 {
			t.Errorf("%d connections after the line died idle, want %d", r.connections(), before+1)
		}
		r.stop()
	})
}

// A broker whose queue is full acknowledges and loses; the gap is filled, and faster than one window per timeout.
func TestBrokerThatLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		fill(t, box, 300)
		s := newScript(t)
		n := 0
		s.publish = func(l *link, p *packets.PublishPacket) string {
			if strings.HasSuffix(p.TopicName, "diagnosis") {
				if n++; n <= 200 && n%3 != 0 {
					return "lose"
				}
			}
			return ""
		}
		r := start(t, s, box, Config{}, Handlers{})
		rest(time.Hour)
		if got, _ := r.stored(box.Epoch()); got != 300 || box.Stats().Records != 0 {
			t.Errorf("stored %d of 300, %d left", got, box.Stats().Records)
		}
		t.Logf("resent %d, sessions %d", r.Counters().Resent, r.Counters().Sessions)
		r.stop()
	})
}

// The same while flash takes nothing: what memory keeps has numbers of its own, which say nothing about those on flash.
func TestBrokerThatLosesWhileFlashIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := crashfs.New()
		box, err := outbox.Open("", outbox.Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		onFlash := box.Epoch()
		fs.Set(func(f *crashfs.FS) { f.ReadOnly = true })
		fill(t, box, 300)
		inMemory := box.Epoch()
		if err := box.Ack(inMemory, 1, 300); err != nil {
			t.Fatal(err)
		}
		fs.Set(func(f *crashfs.FS) { f.ReadOnly = false })
		rest(2 * time.Minute)
		fill(t, box, 200)
		fs.Set(func(f *crashfs.FS) { f.ReadOnly = true })
		fill(t, box, 10)
		s := newScript(t)
		s.seen[inMemory] = map[uint64]int{}
		for seq := range uint64(300) {
			s.seen[inMemory][seq+1] = 1
		}
		lost := 0
		s.publish = func(l *link, p *packets.PublishPacket) string {
			var e report.Envelope
			if json.Unmarshal(p.Payload, &e) == nil && e.Epoch == onFlash && e.Seq > 20 && lost < 100 {
				lost++
				return "lose"
			}
			return ""
		}
		r := start(t, s, box, Config{}, Handlers{})
		rest(4 * time.Minute)
		n, _ := r.stored(onFlash)
		m, _ := r.stored(inMemory)
		if n != 200 || m != 310 || box.Stats().Records != 0 {
			t.Errorf("stored %d of 200 from flash and %d of 310 from memory, %d left; %+v", n, m, box.Stats().Records, r.State())
		}
		r.stop()
		box.Close()
	})
}

func TestStrayAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := newScript(t)
		s.noFleet = true
		r := start(t, s, box, Config{}, Handlers{})
		fill(t, box, 5)
		rest(time.Minute / 2)
		l := s.current()
		for _, p := range []string{
			`{"epoch":"00000000000000000000000000000000","boot":1,"seq":5}`, `{"seq":5}`, `rubbish`, ``,
			`{"epoch":"` + box.Epoch() + `","seq":-1}`, `{"epoch":"` + box.Epoch() + `","boot":1,"seq":99999999999999999999}`,
			strings.Repeat("x", 10000),
		} {
			l.say(at.Topic("ack"), false, []byte(p))
		}
		l.say("pos/v1/shop/t2/ack", false, []byte(`{"epoch":"`+box.Epoch()+`","seq":5}`))
		rest(time.Second)
		if n := box.Stats().Records; n != 5 {
			t.Errorf("%d records left, a stray ack removed some", n)
		}
		for range 3 { // late, and again
			l.say(at.Topic("ack"), false, []byte(`{"epoch":"`+box.Epoch()+`","boot":1,"seq":3}`))
		}
		l.say(at.Topic("ack"), false, []byte(`{"epoch":"`+box.Epoch()+`","boot":1,"seq":1}`))
		rest(time.Second)
		if n := box.Stats().Records; n != 2 {
			t.Errorf("%d records left, want 2", n)
		}
		r.stop()
	})
}

// A fleet gives up waiting across a gap and confirms a number that we have not come to yet.
func TestAckAheadOfSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		fill(t, box, 200)
		s := newScript(t)
		s.noFleet = true
		r := start(t, s, box, Config{}, Handlers{})
		rest(time.Second)
		n, _ := r.stored(box.Epoch())
		if n == 0 || n > 50 {
			t.Fatalf("%d sent in a second", n)
		}
		s.current().say(at.Topic("ack"), false, []byte(`{"epoch":"`+box.Epoch()+`","boot":1,"seq":200}`))
		rest(10 * time.Millisecond)
		if left := box.Stats().Records; left != 200-n {
			t.Errorf("%d sent, %d left in the box, want %d", n, left, 200-n)
		}
		r.stop()
	})
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const days, each = 3, 3400
		box := newBox(t)
		s := newScript(t)
		s.refuse = true
		r := start(t, s, box, Config{}, Handlers{})
		for range days {
			fill(t, box, each)
			rest(24 * time.Hour)
		}
		tries := len(s.dials())
		if most := days * 24 * 3600 / 20; tries > most || tries < 100 {
			t.Errorf("%d attempts in 72 h", tries)
		}
		s.mu.Lock()
		s.refuse = false
		s.mu.Unlock()
		rest(15 * time.Minute)
		n, again := r.stored(box.Epoch())
		if n != days*each || again != 0 || r.historic != n {
			t.Errorf("stored %d, %d again, %d historical; want %d, 0, all", n, again, r.historic, days*each)
		}
		for i, e := range r.got {
			if e.Seq != uint64(i+1) {
				t.Fatalf("document %d has sequence %d: out of order", i, e.Seq)
			}
		}
		if s.most > defaultWindow {
			t.Errorf("%d in flight, window %d", s.most, defaultWindow)
		}
		t.Logf("%d attempts in 72 h", tries)
		r.stop()
	})
}

// A broker that is killed again and again is not another client with our id: between the sessions nobody listens.
func TestBrokerThatFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := newScript(t)
		r := start(t, s, box, Config{}, Handlers{})
		for range 20 {
			rest(10 * time.Second)
			s.mu.Lock()
			s.refuse = true
			s.mu.Unlock()
			s.current().conn.Close()
			r.Kick()
			rest(time.Second)
			s.mu.Lock()
			s.refuse = false
			s.mu.Unlock()
			r.Kick()
			rest(time.Second)
			if st := r.State(); !st.Connected || st.Warning != "" {
				t.Fatalf("%+v", st)
			}
		}
		r.stop()
	})
}

// Another client with our id: each connect throws the other out. We must not fight at full speed for ever.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := newScript(t)
		s.publish = func(l *link, p *packets.PublishPacket) string {
			if strings.HasSuffix(p.TopicName, "birth") {
				return "cut"
			}
			return ""
		}
		r := start(t, s, box, Config{}, Handlers{})
		rest(10 * time.Hour)
		if n := len(s.dials()); n > 10*20 {
			t.Errorf("%d connects in 10 hours of fighting", n)
		}
		if w := r.State().Warning; !strings.Contains(w, "another client") {
			t.Errorf("warning %q does not name the likely reason", w)
		}
		if len(r.wills) == 0 {
			t.Error("no last will was left behind")
		}
		t.Logf("%d connects in 10 h", len(s.dials()))
		r.stop()
	})
}

func TestRefusals(t *testing.T) {
	for code, want := range map[byte]string{
		packets.ErrRefusedIDRejected: "client id", packets.ErrRefusedServerUnavailable: "not available",
		packets.ErrRefusedBadUsernameOrPassword: "password is wrong", packets.ErrRefusedNotAuthorised: "does not let",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t)
			s.connack = func(int) byte { return code }
			r := start(t, s, newBox(t), Config{}, Handlers{})
			rest(time.Minute)
			if e := r.State().LastError; !strings.Contains(e, want) {
				t.Errorf("code %d: %q does not say %q", code, e, want)
			}
			r.stop()
		})
	}
}

// A hostile or broken broker announces 256 MB: the connection goes, the memory stays.
func TestBigPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		r := start(t, s, newBox(t), Config{}, Handlers{})
		rest(time.Second)
		l := s.current()
		l.conn.Write([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
		rest(100 * time.Millisecond)
		if e := r.State().LastError; !strings.Contains(e, "size limit") {
			t.Errorf("last error %q", e)
		}
		r.stop()
	})
}

// Reports of loss go first, or the fleet could never acknowledge what lies behind the gap.
func TestGapDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, err := outbox.Open("", outbox.Options{FS: newSmallFS(), MaxBytes: outbox.MinBytes})
		if err != nil {
			t.Fatal(err)
		}
		doc := []byte(`{"pad":"` + strings.Repeat("x", 1000) + `"}`)
		for i := range 1000 {
			kind := report.KindTally
			if i%10 == 0 {
				kind = report.KindDiagnosis
			}
			if _, err := box.Append(kind, kind == report.KindDiagnosis, time.Now(), doc); err != nil {
				t.Fatal(err)
			}
		}
		dropped := box.Stats().Dropped[report.KindTally]
		if dropped == 0 || box.Stats().Dropped[report.KindDiagnosis] != 0 {
			t.Fatalf("dropped %v: want tallies, and no diagnosis", box.Stats().Dropped)
		}
		r := start(t, newScript(t), box, Config{}, Handlers{})
		rest(5 * time.Minute)
		if n := box.Stats().Records; n != 0 {
			t.Errorf("%d records stay: the fleet cannot get past the gap", n)
		}
		told := 0
		for _, d := range r.expl[box.Epoch()] {
			told += d.Counts[report.KindTally]
		}
		n, _ := r.stored(box.Epoch())
		if reports := len(r.expl[box.Epoch()]); n-reports+told != 1000 {
			t.Errorf("stored %d + reported dropped %d != 1000 produced", n-reports, told)
		}
		r.stop()
	})
}

func TestPackedDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		r := start(t, s, newBox(t), Config{Compress: true}, Handlers{})
		doc := `{"evidence":[` + strings.Repeat(`{"check":"net.wifi","subject":"wifi","status":"not-run","facts":{"reason":"absent"}},`, 40) + `{}]}`
		r.PublishHealth([]byte(doc))
		rest(time.Minute)
		got := r.controls("health")
		if len(got) != 1 || len(got[0].payload) > len(doc)/4 {
			t.Fatalf("%d documents of health, want one much smaller than %d bytes", len(got), len(doc))
		}
		var e report.Envelope
		plain, err := report.Unpack([]byte(got[0].payload), 64<<10)
		if err != nil || json.Unmarshal(plain, &e) != nil || string(e.Data) != doc {
			t.Errorf("unpacked %.80q, %v", plain, err)
		}
		r.stop()
	})
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		r := start(t, s, newBox(t), Config{}, Handlers{})
		r.PublishHealth([]byte(`{"n":1}`))
		r.PublishHealth([]byte(`{"n":2}`))
		rest(time.Minute)
		r.PublishHealth([]byte(`{"n":3}`))
		rest(time.Minute)
		s.current().conn.Close()
		rest(time.Minute)
		var got []string
		for _, c := range r.controls("health") {
			var e report.Envelope
			if err := json.Unmarshal([]byte(c.payload), &e); err != nil || e.Type != "posdx.health.v1" || !c.retained {
				t.Errorf("health %+v: %v", c, err)
			}
			got = append(got, string(e.Data))
		}
		if g := strings.Join(got, " "); g != `{"n":2} {"n":3} {"n":3}` {
			t.Errorf("health came as %s; want the newest at each connect and each change", g)
		}
		r.stop()
	})
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		fill(t, box, 1000)
		r := start(t, newScript(t), box, Config{DayBytes: 100_000}, Handlers{})
		rest(time.Hour)
		first, _ := r.stored(box.Epoch())
		c := r.Counters()
		if c.BudgetLeft > 0 || first == 1000 || c.WireIn+c.WireOut > 140_000 {
			t.Errorf("after an hour %d arrived, %d bytes on the wire, %d left of the budget", first, c.WireIn+c.WireOut, c.BudgetLeft)
		}
		r.PublishHealth([]byte(`{}`))
		rest(time.Minute)
		if len(r.controls("health")) != 0 {
			t.Error("health was sent over budget")
		}
		rest(24 * time.Hour)
		if n := box.Stats().Records; n != 0 {
			t.Errorf("%d records left a day later: the budget must slow, not stop", n)
		}
		r.stop()
	})
}

// A hundred thousand terminals that lose their broker in one moment must not come back in one.
func TestJitter(t *testing.T) {
	const fleet = 100_000
	u, err := New(Config{Brokers: []string{"tcp://b"}, Address: at}, newBox(t), Handlers{})
	if err != nil {
		t.Fatal(err)
	}
	perSecond := map[int]int{}
	for range fleet {
		d := u.backoff(0, true)
		if d < defaultMin || d > firstSpread {
			t.Fatalf("first wait %v", d)
		}
		perSecond[int(d/time.Second)]++
	}
	for s, n := range perSecond {
		if n > fleet/20 {
			t.Errorf("%d of %d come back in second %d", n, fleet, s)
		}
	}
	for failures := range 100 {
		if d := u.backoff(failures, false); d < defaultMin || d > defaultMax {
			t.Errorf("wait %v after %d failures", d, failures)
		}
	}
}

// TestMorning: the power comes back to a city. No link that comes up may cut the wait short, and nobody else waits.
func TestMorning(t *testing.T) {
	dir := t.TempDir()
	for i, c := range []struct {
		before string // the boot that the file remembers
		uptime time.Duration
		waits  bool
	}{
		{"", 0, false}, // installed a moment ago
		{"boot-1", 0, false},
		{"boot-0", time.Hour, false}, // the agent was off
		{"boot-0", 20 * time.Second, true},
	} {
		file := filepath.Join(dir, fmt.Sprint(i))
		if c.before != "" {
			if err := (memory{BootID: c.before}).write(file); err != nil {
				t.Fatal(err)
			}
		}
		most := time.Duration(0)
		perSecond := map[int]int{}
		for range 200 {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t)
				s.refuse = true
				began := time.Now()
				u, err := New(Config{Brokers: []string{"tcp://broker"}, Address: at, BootID: "boot-1", StateFile: file,
					Uptime: c.uptime}, newBox(t), Handlers{})
				if err != nil {
					t.Fatal(err)
				}
				u.dial = s.dial
				u.Kick()
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { u.Run(ctx); close(ended) }()
				rest(bootSpread)
				cancel()
				<-ended
				first := s.dials()[0].Sub(began)
				most = max(most, first)
				perSecond[int(first/time.Second)]++
			})
			if c.waits { // Run has noted this boot
				if err := (memory{BootID: c.before}).write(file); err != nil {
					t.Fatal(err)
				}
			}
		}
		if c.waits != (most > 0) {
			t.Errorf("%+v: the longest wait is %v", c, most)
		}
		for s, n := range perSecond {
			if c.waits && n > 20 {
				t.Errorf("%d of 200 come in second %d", n, s)
			}
		}
		if m, err := readMemory(file); !c.waits && (err != nil || m.BootID != "boot-1") {
			t.Errorf("%+v: remembered %+v, %v", c, m, err)
		}
	}
}

func TestKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		s.refuse = true
		r := start(t, s, newBox(t), Config{ReconnectMin: time.Hour, ReconnectMax: time.Hour}, Handlers{})
		rest(time.Minute)
		s.mu.Lock()
		s.refuse = false
		s.mu.Unlock()
		if n := len(s.dials()); n != 1 {
			t.Fatalf("%d attempts, want 1", n)
		}
		r.Kick()
		rest(time.Second)
		if !r.State().Connected {
			t.Error("a link that came up does not end the wait")
		}
		r.stop()
	})
}

// TestKeepAliveIsKept: the broker is told how long it may hear nothing, and then never waits longer.
func TestKeepAliveIsKept(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Second, time.Minute, 15 * time.Minute, 18 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t)
			r := start(t, s, newBox(t), Config{KeepAlive: every}, Handlers{})
			rest(time.Second)
			since := time.Now()
			rest(20*every + time.Second)
			s.mu.Lock()
			keeps, pings := time.Duration(s.keeps)*time.Second, s.pings
			s.mu.Unlock()
			if keeps != every || len(pings) != 20 {
				t.Errorf("keep-alive %v: the broker was told %v and asked %d times in twenty", every, keeps, len(pings))
			}
			for _, p := range pings {
				if p.Sub(since) > every {
					t.Errorf("keep-alive %v: %v without a word", every, p.Sub(since))
				}
				since = p
			}
			if r.connections() != 1 {
				t.Errorf("keep-alive %v: %d connections", every, r.connections())
			}
			r.stop()
		})
	}
}

// TestAnIdleSessionSleeps: a day without anything to say wakes the terminal for the keep-alive's pings, 96 of them, and
// for little else. Its time is not real, and what is counted are goroutines that the scheduler let run, one of eight: a
// look every five seconds would be 4 500.
func TestAnIdleSessionSleeps(t *testing.T) {
	ran := func() (n uint64) {
		s := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
		metrics.Read(s)
		for _, c := range s[0].Value.Float64Histogram().Counts {
			n += c
		}
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newScript(t), newBox(t), Config{KeepAlive: 15 * time.Minute}, Handlers{})
		rest(time.Minute)
		before := ran()
		rest(24 * time.Hour)
		if n := ran() - before; n > 600 {
			t.Errorf("a day of nothing ran goroutines some %d times", 8*n)
		}
		r.stop()
	})
}

// TestBytes measures; the limits are those of the budget for a metered line, with a keep-alive fit for it.
func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		r := start(t, newScript(t), box, Config{KeepAlive: 15 * time.Minute}, Handlers{})
		rest(time.Minute)
		wire := func() int64 { c := r.Counters(); return c.WireIn + c.WireOut }
		begun := wire()
		rest(24 * time.Hour)
		idle := wire() - begun
		doc := []byte(`{"pad":"` + strings.Repeat("x", 588) + `"}`)
		if _, err := box.Append(report.KindDiagnosis, true, time.Now(), doc); err != nil {
			t.Fatal(err)
		}
		rest(time.Second)
		one := wire() - begun - idle
		t.Logf("MQTT bytes without TLS: session %d, a day's keep-alive %d, one diagnosis of %d bytes %d, ack included", begun, idle, len(doc), one)
		if over := one - int64(len(doc)); over > 700 {
			t.Errorf("one diagnosis costs %d bytes beside itself", over)
		}
		r.stop()
	})
}
