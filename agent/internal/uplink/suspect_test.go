package uplink

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// swallower is a line before a broker that drops every connection whose first record is longer than limit.
func swallower(t *testing.T, behind string, limit int) string {
	t.Helper()
	return housetest.Serve(t, func(c net.Conn) {
		head := make([]byte, 5)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint16(head[3:]))
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		if len(body) > limit {
			_, _ = io.Copy(io.Discard, c)
			return
		}
		b, err := net.Dial("tcp", behind)
		if err != nil {
			return
		}
		defer b.Close()
		_, _ = b.Write(append(head, body...))
		go func() { _, _ = io.Copy(b, c); b.Close() }()
		_, _ = io.Copy(c, b)
	})
}

// A line that swallows large hellos is got over with a small one, at once the next time, and it is said.
func TestSmallHelloWhereALargeOneIsSwallowed(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a hello that is never answered")
	}
	p := newPKI(t)
	own := p.config("t")
	server := &tls.Config{Certificates: []tls.Certificate{p.Issue(t, "broker", time.Now().Add(-time.Hour),
		time.Now().Add(time.Hour), "broker").TLS()}}
	broker := housetest.Serve(t, func(c net.Conn) {
		s := tls.Server(c, server)
		_ = s.Handshake()
		_, _ = io.Copy(io.Discard, s)
	})
	line := swallower(t, broker, 1400)
	u := &Uplink{dial: dialTCP, small: map[string]bool{}, budget: newBudget(0, time.Now()),
		log: slog.New(slog.DiscardHandler)}
	for i, within := range []time.Duration{time.Minute, helloWait} {
		start := time.Now()
		conn, err := u.dial(t.Context(), "tcp", line)
		if err != nil {
			t.Fatal(err)
		}
		c, err := u.handshake(t.Context(), "ssl://broker:8883", line, conn, &tls.Config{ServerName: "broker", RootCAs: own.RootCAs})
		if err != nil {
			t.Fatalf("try %d: %v", i, err)
		}
		c.Close()
		if !u.keepsSmall("ssl://broker:8883") || i == 1 && time.Since(start) > within {
			t.Errorf("try %d took %v", i, time.Since(start))
		}
	}
}

// The document at which a broker hangs up is found, sent packed, then stood in for; a hang-up at what was taken before,
// or at nothing, accuses nobody.
func TestDocumentTheBrokerRefusesIsFound(t *testing.T) {
	box, err := outbox.Open(t.TempDir(), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	u := &Uplink{box: box, count: Counters{}, log: slog.New(slog.DiscardHandler),
		cfg: Config{Address: report.Address{Estate: "e", Terminal: "t"}}}
	big := message{kind: report.KindDiagnosis, payload: make([]byte, 11_900),
		record: &outbox.Record{Kind: report.KindDiagnosis, Epoch: "x", Seq: 4, Time: time.Now()}}
	little := message{kind: report.KindDiagnosis, payload: make([]byte, 900),
		record: &outbox.Record{Kind: report.KindDiagnosis, Epoch: "x", Seq: 3, Time: time.Now()}}
	hangUp := func(broke bool, list ...message) {
		s := &session{u: u, broke: broke}
		for _, m := range list {
			s.flight = append(s.flight, sent{message: m, at: time.Now()})
		}
		s.blame(time.Now())
	}
	s := &session{u: u, before: map[string]uint64{}}
	for i := range asideAfter {
		got := s.suspected(big)
		if got.packed != (i >= packAfter) || len(got.payload) != len(big.payload) {
			t.Errorf("after %d hang-ups: packed %v, %d bytes", i, got.packed, len(got.payload))
		}
		hangUp(false, big) // our own end of it
		hangUp(true)
		hangUp(true, little, got)
	}
	got := s.suspected(big)
	if len(got.payload) > 600 || !bytes.Contains(got.payload, []byte(`"data":null`)) || u.count.SetAside != 1 || len(u.notes) != 1 {
		t.Errorf("got %d bytes %s, %d set aside, said %q", len(got.payload), got.payload, u.count.SetAside, u.notes)
	}
	if other := s.suspected(little); other.packed || len(other.payload) != len(little.payload) {
		t.Error("what is behind it is changed")
	}
	u.suspect = suspect{}
	u.suspect.taken(big)
	for range asideAfter + 1 {
		hangUp(true, big)
	}
	if u.suspect.found() {
		t.Error("a size that the broker has taken is not what it does not take")
	}
}
