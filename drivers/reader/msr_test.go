package reader

import (
	"fmt"
	"testing"
	"unsafe"
)

func swipes(s string) (list []Swipe) {
	var m MSR
	for i := range len(s) {
		if w, ok := m.Push(s[i]); ok {
			list = append(list, w)
		}
	}
	return list
}

// lrc is the check character that ISO/IEC 7811-6 puts behind a track, as the reader would print it.
func lrc(track string) string {
	n, base := byte(0), byte('0')
	if track[0] == '%' {
		base = ' '
	}
	for i := range len(track) {
		n ^= track[i] - base
	}
	if base == ' ' {
		return string(base + n&0x3F)
	}
	return string(base + n&0x0F)
}

func TestMSR(t *testing.T) {
	const one, two = "%B4111111111111111^TEST/CARD^25121010000000000000?", ";4111111111111111=25121010000000000000?"
	for _, c := range []struct {
		name, in string
		want     string
	}{
		{"both", one + two + "\r", "good good none"},
		{"both with check characters", one + lrc(one) + two + lrc(two) + "\r", "good good none"},
		{"wrong check character", one + lrc(one) + two + ":\r", "good lrc none"},
		{"track 2 alone", two + "\r", "none good none"},
		{"three", one + two + "+011234567890123456789?\r", "good good good"},
		{"track 3 with a semicolon", two + ";011234567890123456789?\r", "none good good"},
		{"unreadable", "%E?;E?+E?\r", "bad bad bad"},
		{"blank", "%?;?\r", "blank blank none"},
		{"one bad", "%E?" + two + "\r", "bad good none"},
		{"no end", ";4111111111111111=2512101\r", "none no-end none"},
		{"too long", ";4111111111111111=" + fmt.Sprintf("%030d", 0) + "?\r", "none rejected none"},
		{"no separator", ";41111111111111112512101?\r", "none rejected none"},
		{"no start", "4111111111111111=25121010?\r", "none none none, no start"},
		{"MagTek frame", "\x02" + one + two + "\r\x03", "good good none"},
		{"insertion reader's word behind the tracks", one + two + "1\r", "good good none"},
		{"insertion reader's word alone", "1\r0\r", ""},
		{"two digits are no such word", "10\r", "none none none, no start"},
		{"nothing", "\r\n\r", ""},
	} {
		got := ""
		for _, s := range swipes(c.in) {
			got += fmt.Sprintf("%v %v %v", s.Tracks[0], s.Tracks[1], s.Tracks[2])
			if s.NoStart {
				got += ", no start"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// The classifier has no room for a card number: its whole state is smaller than one and holds no byte as it came.
func TestMSRHoldsNoCard(t *testing.T) {
	var m MSR
	if size := unsafe.Sizeof(m); size > 56 {
		t.Errorf("%d bytes of state", size)
	}
}

func FuzzMSR(f *testing.F) {
	f.Add("%B4111111111111111^TEST/CARD^25121010000000000000?;4111111111111111=25121010000000000000?\r")
	f.Add("%E?;E?+E?\r")
	f.Add(";;;;%%%%\r??")
	f.Fuzz(func(t *testing.T, s string) {
		for _, w := range swipes(s + "\r%E?\r")[:] {
			_ = w.Good(true)
		}
		// Whatever came before, the next swipe stands for itself.
		all := swipes(s + "\r\r%E?\r")
		if last := all[len(all)-1]; last != (Swipe{Tracks: [3]Track{TrackBad}}) {
			t.Errorf("%q spoiled the next: %+v", s, last)
		}
	})
}
