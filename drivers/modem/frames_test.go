package modem

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posdx/drivers/serial"
)

// Frames of 27.010 as makers of modules print them in their multiplexer application notes.
var printed = map[string]string{
	"SABM on channel 0":   "\xf9\x03\x3f\x01\x1c\xf9",
	"UA on channel 0":     "\xf9\x03\x73\x01\xd7\xf9",
	"UA on channel 1":     "\xf9\x07\x73\x01\x15\xf9",
	"modem status by UIH": "\xf9\x03\xef\x09\xe3\x05\x07\x0d\xfb\xf9",
}

func TestFrames(t *testing.T) {
	for name, f := range printed {
		if !frames([]byte("\r\nOK\r\n" + f)) {
			t.Errorf("%s: not found", name)
		}
	}
	for name, f := range map[string]string{
		"text": "\r\n+CSQ: 18,99\r\n\r\nOK\r\n", "flags": "\xf9\xf9\xf9\xf9~~~~", "a wrong sum": "\xf9\x03\x73\x01\xd6\xf9",
		"a wrong length": "\xf9\x03\x73\x03\xd7\xf9", "no end": "\xf9\x03\x73\x01\xd7", "tildes": "~ATI~OK~~",
	} {
		if frames([]byte(f)) {
			t.Errorf("%s: taken for a frame", name)
		}
	}
	for _, said := range []string{"", "\xff\x03", "\x00\xff\x7d"} { // RFC 1662 over anything: a sum of our own
		f := pppOf("\xff\x03\xc0\x21" + said)
		if !frames([]byte("x" + f)) {
			t.Errorf("PPP %q: not found", f)
		}
	}
}

// pppOf makes a frame with a check sum by the table of RFC 1662's appendix, which is not how the driver does it.
func pppOf(content string) string {
	var table [256]uint16
	for b := range table {
		v := uint16(b)
		for range 8 {
			if v&1 != 0 {
				v = v>>1 ^ 0x8408
			} else {
				v >>= 1
			}
		}
		table[b] = v
	}
	fcs := uint16(0xffff)
	for _, c := range []byte(content) {
		fcs = fcs>>8 ^ table[byte(fcs)^c]
	}
	fcs = ^fcs
	var out strings.Builder
	out.WriteByte('~')
	for _, c := range []byte(content + string([]byte{byte(fcs), byte(fcs >> 8)})) {
		if c < 0x20 || c == 0x7d || c == 0x7e {
			out.WriteByte(0x7d)
			c ^= 0x20
		}
		out.WriteByte(c)
	}
	return out.String() + "~"
}

// A port under a multiplexer, or in a data call, is recognised and left alone: before the first word if it speaks by
// itself, with the first word if it does not.
func TestMultiplexedPortIsLeftAlone(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		unasked     bool
		most        int // command lines that may have been sent
	}{
		{"it speaks", printed["modem status by UIH"], true, 0},
		{"it answers", printed["UA on channel 0"], false, 1},
		{"a data call", pppOf("\xff\x03\xc0\x21\x09\x00\x00\x08abcd"), true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				heard := 0
				link := transcript(t, func(line string, answer func(string, time.Duration)) {
					heard++
					answer(c.frame, 0)
				})
				if c.unasked {
					link = &speaks{Link: link, first: []byte(c.frame)}
				}
				_, err := Ask(t.Context(), link, Config{})
				synctest.Wait()
				if !errors.Is(err, ErrFrames) || heard > c.most {
					t.Errorf("%v, %d lines were sent", err, heard)
				}
			})
		})
	}
}

// Once frames were seen, nothing more is said, not even to put a setting back.
func TestNothingAfterFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := 0
		d := New(transcript(t, func(line string, answer func(string, time.Duration)) {
			heard++
			answer(printed["modem status by UIH"]+"\r\nOK\r\n", 0)
		}))
		d.Command(t.Context(), "AT+CSQ", "+CSQ:")
		for range 2 {
			if _, err := d.Command(t.Context(), "AT+CSQ", "+CSQ:"); !errors.Is(err, ErrFrames) {
				t.Error(err)
			}
		}
		d.parting("AT+CMEE=0")
		synctest.Wait()
		if heard != 1 {
			t.Errorf("%d lines were sent", heard)
		}
	})
}

// speaks is a line that says something by itself.
type speaks struct {
	serial.Link
	first []byte
}

func (s *speaks) Read(b []byte) (int, error) {
	if n := copy(b, s.first); n > 0 {
		s.first = s.first[n:]
		return n, nil
	}
	return s.Link.Read(b)
}
