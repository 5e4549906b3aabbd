package capture

import (
	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// heard is what passed on a connection since the terminal began to speak last.
type heard struct {
	up, down int // bytes
	messages int // read before
	first    byte
	size     int
}

// hear notes what passes; the bytes are not read yet.
func (f *flow) hear(up bool, b []byte) {
	if up && f.heard.down > 0 {
		f.judge()
	}
	if f.heard == (heard{}) {
		f.heard = heard{first: b[0], size: len(b), messages: f.messages()}
	}
	if up {
		f.heard.up += len(b)
	} else {
		f.heard.down += len(b)
	}
}

func (f *flow) messages() int { return f.asks.Counts.Messages + f.answers.Counts.Messages }

// judge says whether anything was read of a question and its answer.
func (f *flow) judge() {
	h := f.heard
	f.heard = heard{}
	if f.asks == nil || h.up+h.down == 0 {
		return
	}
	f.t.hearing(f.name, f.messages()-h.messages, h)
}

func (t *tracker) hearing(target string, read int, h heard) {
	x := t.hearings[target]
	if x == nil {
		x = &source.Hearing{Channel: report.ChannelCapture, Subject: target}
		t.hearings[target] = x
	}
	changed := x.Heard(read, h.up+h.down, h.first, h.size)
	if changed && t.deaf != nil {
		t.deaf(x)
	}
	if ev, ok := x.Due(t.now, changed); ok {
		t.to.Fact(ev)
	}
}
