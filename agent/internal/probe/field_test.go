package probe

import (
	"testing"
	"time"

	"posdx/drivers/frame"
)

// Lines as people reported them, five frames a visit and a visit a minute: what went well before hides nothing, and
// what went wrong once accuses nobody. Sources beside each.
func TestLinesOfTheField(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	every := func(n, of int) (list []uint64) { // one frame wrong in each of-th of n visits
		for i := range n {
			w := uint64(0)
			if (i+1)%of == 0 {
				w = 1
			}
			list = append(list, w)
		}
		return list
	}
	well := func(n int, then ...uint64) []uint64 { return append(make([]uint64, n), then...) }
	for name, c := range map[string]struct {
		visits []uint64
		want   string
	}{
		"nygma2004/growatt2mqtt #45: perfect for weeks, then a lot of wrong sums":        {well(55, 3, 4, 2, 3), "bad bad 12"},
		"ioBroker/ioBroker.modbus #56: right for one to three hours, then none":          {well(58, 5, 5), "bad bad 10"},
		"stephane/libmodbus #136: every sum is wrong":                                    {[]uint64{5, 5, 5, 5}, "bad bad 20"},
		"WikiSpaxe/openvtest #38: one right, one wrong, all the time":                    {[]uint64{0, 2, 1, 0, 3, 0, 2, 1, 0, 3}, "bad bad 12"},
		"john30/ebusd #401: only by day: every fifth frame, well all night before":       {well(25, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), "bad bad 25"},
		"eModbus/eModbus #186: one now and then, at no distance that means anything":     {every(60, 13), "ok poor 4"},
		"jgyates/genmon #625: two years well, one frame":                                 {well(59, 1), "ok poor 1"},
		"psvanstrom/esphome-p1reader #87: occasionally right":                            {[]uint64{5, 5, 4, 5, 5, 5, 4, 5}, "bad bad 38"},
		"jbuehl/solaredge #20: wrong every evening when the device goes off, well again": {append([]uint64{4, 5}, well(50)...), "ok poor 9"},
	} {
		var l lineHistory
		for i, crc := range c.visits {
			l.frames(now.Add(time.Duration(i)*time.Minute), frame.Health{Answers: 5 - crc, CRC: crc})
		}
		if got := show(l.evidence("reader.line", "reader0"), "level", "crc"); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
