package registerlink

import (
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/source/sourcetest"
	"posdx/agent/report"
	"posdx/drivers/ecr"
	"posdx/firmware-build/housetest"
)

// TestALinkThatIsNotUnderstoodSaysSo has a terminal speak with the wrong framing, and then the right one.
func TestALinkThatIsNotUnderstoodSaysSo(t *testing.T) {
	far, path := housetest.HeldTTY(t)
	d := sourcetest.NewDaemon()
	e, log := hearAt(t, d, ecr.ZVT, time.Millisecond, path)
	housetest.Until(t, "the port is open", open(e))
	readable := func() (list []report.Evidence) {
		d.Mu.Lock()
		defer d.Mu.Unlock()
		for _, ev := range d.Told {
			if ev.Check == "source.readable" {
				list = append(list, ev)
			}
		}
		return list
	}
	housetest.Until(t, "it is said", func() bool {
		far.Write([]byte("\x020210|00|597029414300|75001088|4761739001010010|\x03\x55"))
		time.Sleep(5 * time.Millisecond) // a pause: without it this is one burst more, and the next round tells
		return len(readable()) == 1
	})
	if ev := readable()[0]; ev.Status != report.CannotTell || ev.Facts["first"] != "control" || ev.Subject != "ecr ecr0" {
		t.Errorf("%+v", ev)
	}
	if s := log.String(); !strings.Contains(s, "no frame of its framing") || strings.Contains(s, "476173") {
		t.Errorf("log:\n%s", s)
	}
	housetest.Until(t, "it is understood", func() bool {
		far.Write([]byte("\x10\x02\x06\x70\x00\x10\x03\xd9\xf9"))
		time.Sleep(5 * time.Millisecond) // a pause, as above
		return len(readable()) == 2
	})
	if ev := readable()[1]; ev.Status != report.OK {
		t.Errorf("%+v", ev)
	}
}
