package serial

import (
	"bytes"
	"testing"
	"time"
)

func TestCopyComesBack(t *testing.T) {
	c := Copy{From: FromApp, Device: true, Time: time.Unix(1763769600, 5), Lost: 7,
		Errors: Counters{RX: 1, Frame: 2, Parity: 3, Overrun: 4, Break: 5}, Data: []byte("\x02x\x03")}
	b := c.Append(nil)
	got, err := ParseCopy(b)
	if err != nil || got.From != c.From || !got.Device || got.App || !got.Time.Equal(c.Time) || got.Lost != 7 ||
		got.Errors != c.Errors || !bytes.Equal(got.Data, c.Data) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range CopyHeader {
		if _, err := ParseCopy(b[:n]); err == nil {
			t.Errorf("%d bytes are a datagram", n)
		}
	}
	for _, i := range []int{0, 3, 4, 5} {
		bad := bytes.Clone(b)
		bad[i] += 9
		if _, err := ParseCopy(bad); err == nil {
			t.Errorf("byte %d may be anything", i)
		}
	}
}

func FuzzParseCopy(f *testing.F) {
	f.Add(Copy{From: FromApp, App: true, Time: time.Unix(1, 2), Lost: 3, Data: []byte("abc")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCopy(b)
		if err != nil {
			return
		}
		again := c.Append(nil)
		again[6], again[7] = b[6], b[7]
		if !bytes.Equal(again, b) {
			t.Fatalf("% x became % x", b, again)
		}
	})
}
