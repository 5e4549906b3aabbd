package paylog

import (
	"errors"
	"io"
	"time"
)

// A Hit is a record that a pattern matched. It holds what the groups of the pattern take, and nothing else of the
// record.
type Hit struct {
	Line    int    `json:"line"`    // of its first line, from 1
	Pattern int    `json:"pattern"` // which, from 0
	Code    string `json:"code,omitempty"`
	Origin  string `json:"origin,omitempty"`
	Scheme  string `json:"scheme,omitempty"`
	STAN    string `json:"stan,omitempty"`
	MTI     string `json:"mti,omitempty"`
	Phase   string `json:"phase,omitempty"` // of a step
	Result  string `json:"result,omitempty"`
	Time    string `json:"time,omitempty"` // as its writer has it
	Refused bool   `json:"refused,omitempty"`
}

// A Trial is the result of reading a log's text with patterns.
type Trial struct {
	Lines   int   `json:"lines"`
	Records int   `json:"records"`
	Hits    []int `json:"hits"` // of each pattern
	Refused int   `json:"refused"`
	Wrong   int   `json:"not_in_encoding"`
	Cut     int   `json:"cut"`  // lines and records that were too long
	Torn    int   `json:"torn"` // lines broken by zero bytes
}

// Try reads text as the log would be read, and passes on what the patterns match.
func Try(r io.Reader, file LogFile, hit func(Hit)) (Trial, error) {
	var d decoder
	var err error
	if d.from, d.wide, err = decoding(file.Encoding); err != nil {
		return Trial{}, err
	}
	s, rec := splitter{wide: d.wide}, recorder{begin: file.Begin}
	t := Trial{Hits: make([]int, len(file.Patterns))}
	begun := 1
	now := time.Now()
	record := func(text []byte) {
		t.Records++
		for i, p := range file.Patterns {
			f, ok, refused := p.read(text, now)
			if !ok {
				continue
			}
			t.Hits[i]++
			h := Hit{Line: begun, Pattern: i, Refused: refused}
			if refused {
				t.Refused++
			}
			if !f.at.IsZero() {
				h.Time = f.at.Format(time.DateTime)
			}
			if f.seen != nil {
				h.Code, h.Origin, h.Scheme = f.seen.Code, string(f.seen.Origin), f.seen.Scheme
				if f.seen.Txn != nil {
					h.STAN, h.MTI = f.seen.Txn.STAN, f.seen.Txn.MTI
				}
			}
			if f.mark != nil {
				h.Code, h.Phase, h.Result, h.STAN = f.mark.Code, string(f.mark.Phase), f.mark.Result, f.mark.Txn.STAN
			}
			hit(h)
			return
		}
	}
	line := func(b []byte) {
		t.Lines++
		if b == nil {
			return
		}
		n := d.wide.unit()
		for len(b) >= n && s.index(b[len(b)-n:], '\r') == 0 {
			b = b[:len(b)-n]
		}
		d.utf8(b, func(text []byte) {
			if file.Begin == nil {
				begun = t.Lines
			}
			if rec.add(text, record) {
				begun = t.Lines
			}
		})
	}
	buf := make([]byte, readAtOnce)
	defer clear(buf)
	left, first := 0, true
	for {
		n, err := r.Read(buf[left:])
		n += left
		left = n % d.wide.unit()
		if first {
			s.learn(buf[:n-left])
			first = false
		}
		s.add(buf[:n-left], line)
		copy(buf, buf[n-left:n])
		if err != nil {
			s.end(line)
			rec.end(record)
			t.Wrong, t.Cut, t.Torn = d.wrong+s.pairs, s.cut+rec.cut, s.torn
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return t, err
		}
	}
}
