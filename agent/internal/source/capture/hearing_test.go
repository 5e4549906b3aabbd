package capture

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// readable is the latest evidence of whether what passes can be read.
func readable(s *fakeSink) (list []report.Evidence) {
	for _, e := range s.evidence() {
		if e.Check == "source.readable" {
			list = append(list, e)
		}
	}
	return list
}

// TestWhatCannotBeReadIsSaid lets pass what is no ISO 8583 that anybody knows, on connections of a sale each and on one
// that stays, and looks for what is said of it: how long, of which class, and nothing of what it was.
func TestWhatCannotBeReadIsSaid(t *testing.T) {
	secret := plantedPAN + plantedTrack
	for _, c := range []struct{ name, ask, answer, class string }{
		{"a protocol of its own", "\x02" + secret + "\x03", "\x02OK\x03", "control"},
		{"XML", "<Sale card='" + secret + "'/>", "<Answer code='96'/>", "markup"},
		{"JSON over HTTP", "POST /pay HTTP/1.1\r\n\r\n{\"pan\":\"" + secret + "\"}", "HTTP/1.1 200 OK\r\n\r\n", "letter"},
		{"a length of two bytes and what is encrypted by the application", "\x00\x40" + strings.Repeat("\x9c\xe1\x37\x88", 16), "\x00\x10" + strings.Repeat("\x55\xaa", 8), "zero"},
		{"TLCP, which is no TLS", "\x16\x01\x01\x00\x2f" + strings.Repeat("\x9c", 47), "\x16\x01\x01\x00\x20" + strings.Repeat("\x11", 32), "record"},
		{"EBCDIC of a form of its own", "\xf1\xf2\xf3\xf4" + strings.Repeat("\xf9", 40), "\xf0\xf0", "ebcdic-digit"},
	} {
		for _, stays := range []bool{false, true} {
			s := &fakeSink{}
			k := track(s)
			var said []string
			k.deaf = func(h *source.Hearing) { said = append(said, fmt.Sprint(h.Deaf(), h.What())) }
			var l *line
			for i := range 5 {
				if l == nil || !stays {
					l = newLine(t, k, uint32(1000*(i+1)))
					l.terminal = netip.AddrPortFrom(l.terminal.Addr(), uint16(41000+i))
					l.connect(10)
				}
				l.say(true, []byte(c.ask))
				l.wait(100)
				l.say(false, []byte(c.answer))
				if !stays {
					l.hangUp()
				}
			}
			if stays {
				l.hangUp()
			}
			ev := readable(s)
			if len(said) != 1 || !strings.HasPrefix(said[0], "true") || len(ev) != 1 || ev[0].Status != report.CannotTell ||
				ev[0].Facts["first"] != c.class ||
				ev[0].Facts["size"] != float64(len(c.ask)) || len(s.all()) != 0 {
				t.Errorf("%s, stays %v: said %v, evidence %+v", c.name, stays, said, ev)
			}
			s.clean(t, said, ev)
			// The application is told to speak as others do: it is readable from then on.
			l = newLine(t, k, 900000)
			l.terminal = netip.AddrPortFrom(l.terminal.Addr(), 42000)
			l.connect(10)
			l.say(true, message(t, "0200", "000123", ""))
			l.wait(100)
			l.say(false, message(t, "0210", "000123", "96"))
			l.hangUp()
			if ev = readable(s); len(said) != 2 || len(ev) != 2 || ev[1].Status != report.OK || len(s.all()) != 1 {
				t.Errorf("%s, then readable: said %v, evidence %+v", c.name, said, ev)
			}
		}
	}
}

// TestEveryWayOfWritingIsHeard plays what the script of package ecr wrote between a terminal and its host, as the way
// of writing is on the wire: no way is unheard, and none is called unreadable.
func TestEveryWayOfWritingIsHeard(t *testing.T) {
	all, err := os.ReadFile("../../../../drivers/ecr/testdata/dialects.hex")
	if err != nil {
		t.Fatal(err)
	}
	var ask []byte
	n := 0
	for row := range strings.Lines(string(all)) {
		f := strings.Fields(row)
		b, err := hex.DecodeString(f[3])
		if err != nil {
			t.Fatal(err)
		}
		if f[2] == "0200" {
			ask = b
			continue
		}
		s := &fakeSink{}
		l := newLine(t, track(s), 1000)
		l.connect(10)
		for range 4 {
			l.say(true, ask)
			l.wait(100)
			l.say(false, b)
		}
		want := report.Origin("host")
		code := "96"
		if strings.HasSuffix(f[0], "1993") {
			code = "909"
		}
		if got := s.all(); len(got) != 4 || got[3].Code != code || got[3].Origin != want || got[3].Txn.STAN != "000123" ||
			got[3].Txn.ResponseMS == nil ||
			(got[3].Scheme == "iso8583-1993") != (code == "909") || len(readable(s)) != 0 {
			t.Errorf("%s %s: %+v, %+v", f[0], f[1], got, readable(s))
		}
		s.clean(t)
		n++
	}
	if n < 50 {
		t.Errorf("%d ways only", n)
	}
}
