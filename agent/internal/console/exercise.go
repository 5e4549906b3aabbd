package console

import (
	"fmt"

	"posdx/agent/internal/text"
	"posdx/agent/report"
)

const (
	slotCheck  = "reader.slot"
	readsCheck = "reader.reads"
)

// An exercise tries the reader with any card: it is put in and taken out, and the page shows whether the terminal
// noticed both. Nothing of the card is read but that it is there. Where the slot cannot be asked, the payment
// application reads the card, and its good and failed reads are counted.
type exercise struct {
	fitted       bool   // there is a reader to be tried
	card         string // as the slot last said: absent present active mute
	reason       string // why the slot cannot be asked
	in, out      bool   // seen
	mute         bool   // a card was in that did not answer
	good, failed float64
	good0        float64 // when the exercise began
	failed0      float64
	counted      bool
	looks        int // at the slot
}

// mostLooks bounds how often one opening of the page asks the reader: some three minutes.
const mostLooks = 45

func (m *model) tryContent() content {
	return content{
		lines: func(m *model) []string { return m.try.lines(m.lang, m.cols) },
		opened: func(m *model) action {
			m.try = begun(m.state.Evidence)
			return action{kind: actWatch}
		},
		watch: func(int) []string {
			if m.try.over() {
				return nil
			}
			return []string{slotCheck, readsCheck}
		},
	}
}

// begun is an exercise that begins now.
func begun(list []report.Evidence) exercise {
	var x exercise
	x.see(list)
	x.in, x.out, x.mute = false, false, false
	x.good0, x.failed0 = x.good, x.failed
	return x
}

// see takes what the terminal found.
func (x *exercise) see(list []report.Evidence) {
	for _, e := range list {
		switch e.Check {
		case slotCheck:
			reason, _ := e.Facts.Str("reason")
			x.fitted = x.fitted || reason != report.ReasonAbsent
			card, told := e.Facts.Str("card")
			if x.reason = reason; !told {
				continue
			}
			x.out = x.out || x.in && card == "absent"
			x.in = x.in || card != "absent"
			x.mute = x.mute || card == "mute"
			x.card = card
		case readsCheck:
			good, ok := e.Facts.Num("good")
			failed, _ := e.Facts.Num("failed")
			if x.counted = x.counted || ok; ok {
				x.good, x.failed = good, failed
			}
			x.fitted = x.fitted || ok
		}
	}
}

// over reports whether there is nothing more to see.
func (x *exercise) over() bool { return x.in && x.out || !x.fitted || x.looks >= mostLooks }

func (x *exercise) lines(lang string, cols int) (lines []string) {
	add := func(indent int, s string) { lines = append(lines, text.Wrap(text.Clean(s), cols, indent)...) }
	if !x.fitted {
		add(0, wordTryNone.In(lang))
		return lines
	}
	add(0, wordTry.In(lang))
	lines = append(lines, "")
	seen := func(yes bool) string {
		if yes {
			return wordTrySeen.In(lang)
		}
		return wordTryWait.In(lang)
	}
	asked := x.reason == ""
	if asked {
		add(3, "1. "+wordTryIn.In(lang)+"  "+seen(x.in))
		add(3, "2. "+wordTryOut.In(lang)+"  "+seen(x.out))
	} else {
		add(0, fmt.Sprintf(wordTryCannot.In(lang), word("reason", x.reason, lang)))
	}
	good, failed := x.good-x.good0, x.failed-x.failed0
	if x.counted && (good > 0 || failed > 0) {
		add(0, fmt.Sprintf(wordTryReads.In(lang), max(0, good), max(0, failed)))
	}
	lines = append(lines, "")
	switch {
	case x.mute:
		add(0, wordTryMute.In(lang))
	case asked && x.in && x.out:
		add(0, wordTryWell.In(lang))
	case failed > 0:
		add(0, wordTryFailed.In(lang))
	case good > 0:
		add(0, wordTryRead.In(lang))
	}
	return lines
}
