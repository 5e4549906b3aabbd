package reader

import (
	"fmt"
	"testing"

	"posdx/drivers/frame"
	"posdx/drivers/frame/frametest"
)

func TestStepOf(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      Step
	}{
		{"select PSE", "00A404000E315041592E5359532E4444463031", StepSelect},
		{"processing options", "80A80000028300", StepStart},
		{"read record", "00B2010C00", StepRead},
		{"get data", "80CA9F3600", StepRead},
		{"verify", "0020008008", StepVerify},
		{"generate AC", "80AE80001D", StepCryptogram},
		{"get response", "00C0000010", StepOther},
		{"select in a block", "00 00 07 00A4040002 3F00 9E", StepSelect},
		{"acknowledgement", "00 80 00 80", StepOther},
		{"wait extension", "00 C3 01 01 C3", StepOther},
		{"short", "00A4", StepOther},
		{"nothing", "", StepOther},
	} {
		b := frametest.Unhex(t, c.hex)
		if len(b) > 4 && c.name == "select in a block" {
			b[len(b)-1] = frame.XOR(0, b[:len(b)-1])
		}
		if got := stepOf(b); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// watched pushes frames as they pass on a line that echoes, and returns what the insertions were.
func watched(frames ...Message) (list []string) {
	var w ChipWatch
	keep := func(a Attempt, ok bool) {
		if ok {
			same := ""
			if a.Same {
				same = "same "
			}
			list = append(list, fmt.Sprintf("%s%v reached %07b broken %07b", same, a.OK, a.Reached, a.Broken))
		}
	}
	for _, m := range frames {
		if m.Answer() {
			keep(w.Answer(m))
		} else {
			keep(w.Command(m))
		}
	}
	keep(w.End())
	return list
}

func TestChipWatch(t *testing.T) {
	on := Message{Type: PowerOn, Seq: 1}
	atr := Message{Type: DataBlock, Seq: 1}
	ask := func(seq byte, s Step) Message { return Message{Type: Transfer, Seq: seq, Step: s} }
	ok := func(seq byte) Message { return Message{Type: DataBlock, Seq: seq} }
	fail := func(seq, status, code byte) Message {
		return Message{Type: DataBlock, Seq: seq, Param: [3]byte{status, code}}
	}
	off := Message{Type: PowerOff, Seq: 9}
	gone := Message{Type: SlotStatus, Seq: 8, Param: [3]byte{2}}
	for _, c := range []struct {
		name   string
		frames []Message
		want   string
	}{
		{"a whole sale", []Message{on, atr, ask(2, StepSelect), ok(2), ask(3, StepRead), ok(3), off}, "[true reached 0001011 broken 0000000]"},
		{"mute", []Message{on, fail(1, 0x41, ErrorMute)}, "[false reached 0000001 broken 0000001]"},
		{"no card", []Message{on, fail(1, 0x42, ErrorMute)}, "[]"},
		{"breaks in a record", []Message{on, atr, ask(2, StepRead), fail(2, 0x40, ErrorParity), off}, "[false reached 0001001 broken 0001000]"},
		{"a refused command is no broken contact", []Message{on, atr, ask(2, StepRead), fail(2, 0x40, 0), off}, "[true reached 0001001 broken 0000000]"},
		{"more time", []Message{on, atr, ask(2, StepCryptogram), fail(2, 0x80, 1), ok(2), off}, "[true reached 0100001 broken 0000000]"},
		{"tried again", []Message{on, fail(1, 0x41, ErrorMute), on, atr}, "[false reached 0000001 broken 0000001 same true reached 0000001 broken 0000000]"},
		{"powered up, down and up again before it is used", []Message{on, atr, off, on, atr, ask(2, StepRead), ok(2), off}, "[true reached 0001001 broken 0000000]"},
		{"used twice, nobody knows whose it was", []Message{on, atr, ask(2, StepRead), ok(2), off, on, atr, ask(2, StepRead), ok(2), off}, "[true reached 0001001 broken 0000000 true reached 0001001 broken 0000000]"},
		{"used twice on a line that tells", []Message{gone, on, atr, ask(2, StepRead), ok(2), off, on, atr, ask(2, StepRead), ok(2), off}, "[true reached 0001001 broken 0000000 same true reached 0001001 broken 0000000]"},
		{"two cards on a line that tells", []Message{gone, on, atr, ask(2, StepRead), ok(2), off, gone, on, atr, ask(2, StepRead), ok(2), off}, "[true reached 0001001 broken 0000000 true reached 0001001 broken 0000000]"},
		{"pulled out without a word", []Message{on, atr, gone, on, atr}, "[true reached 0000001 broken 0000000 true reached 0000001 broken 0000000]"},
		{"another's answer", []Message{on, ok(7)}, "[]"},
		{"nothing", []Message{off, {Type: GetSlotStatus}, {Type: SlotStatus}}, "[]"},
	} {
		if got := fmt.Sprint(watched(c.frames...)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// What is kept of a card's command is one of seven words.
func TestTransferKeepsNoData(t *testing.T) {
	var d Decoder
	var got Message
	for _, c := range Frame(nil, Message{Type: Transfer, Seq: 3, Data: frametest.Unhex(t, "00A404000E315041592E5359532E4444463031")}) {
		if _, m, ok := d.Push(c); ok {
			got = m
		}
	}
	if got.Step != StepSelect || got.Data != nil || got.Type != Transfer {
		t.Errorf("%+v", got)
	}
}

// The watch takes any order of any messages.
func FuzzChipWatch(f *testing.F) {
	f.Add([]byte{PowerOn, 0, 0, DataBlock, 0, 0, Transfer, 0, 3, DataBlock, 0x40, 0xFE, PowerOff, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var w ChipWatch
		for ; len(b) >= 3; b = b[3:] {
			m := Message{Type: b[0], Param: [3]byte{b[1], b[2]}, Step: stepOf(b)}
			a, ok := Attempt{}, false
			if m.Answer() {
				a, ok = w.Answer(m)
			} else {
				a, ok = w.Command(m)
			}
			if ok && (a.Broken&^a.Reached != 0 || a.OK != (a.Broken == 0) || a.Reached == 0) {
				t.Fatalf("%+v", a)
			}
		}
		w.End()
		if _, ok := w.End(); ok {
			t.Fatal("ended twice")
		}
	})
}
