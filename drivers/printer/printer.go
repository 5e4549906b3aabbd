// Package printer asks receipt printers that speak ESC/POS how they are. DLE EOT asks for status in real time: it is
// answered while the printer is off line, out of paper or too hot, and nothing is printed (Epson, ESC/POS Application
// Programming Guide, DLE EOT; the same bits in the manuals of Citizen, Bixolon and Star's emulation). DLE ENQ, which
// makes a printer go on, is never sent.
package printer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"posdx/drivers/frame"
	"posdx/drivers/serial"
)

// printerLimit is ample: a printer answers within milliseconds, over 9600 baud and a hub, too.
const printerLimit = 500 * time.Millisecond

// A Report is what a receipt printer told of itself.
type Report struct {
	Offline    bool
	CoverOpen  bool
	PaperOut   bool
	PaperLow   bool
	Jam        bool // cutter or mechanics are blocked until a person clears them
	Hot        bool // its head is too hot; it goes on by itself when that has cooled
	Broken     bool // an error that only a technician clears
	Unnamed    bool // an error of which it does not say more
	PortOnly   bool // only the port's own status was read
	Disordered bool // which answers belong to our questions cannot be told: nothing else is known
	Health     frame.Health
	Unanswered bool // it told a part only
}

// Outcome is the state of the printer as a word of the fact "outcome": of several faults the one that a person must
// deal with first.
func (p Report) Outcome() string {
	switch {
	case p.Broken:
		return "fault"
	case p.Jam:
		return "jam"
	case p.CoverOpen:
		return "cover-open"
	case p.PaperOut:
		return "no-paper"
	case p.Hot:
		return "over-heat"
	case p.Unnamed:
		return "fault"
	case p.PaperLow:
		return "paper-low"
	}
	return "ok"
}

// answerOf tells whether a byte answers DLE EOT: bits 1 and 4 are set, 0 and 7 are not. Status that the printer sends
// by itself (GS a) and flow control never look so.
func answerOf(b byte) bool { return b&0x93 == 0x12 }

// put reads the answer to DLE EOT n.
func (p *Report) put(n, b byte) {
	switch n {
	case 1:
		p.Offline = b&0x08 != 0
	case 2:
		p.CoverOpen = b&0x04 != 0
		p.PaperOut = p.PaperOut || b&0x20 != 0
		p.Unnamed = b&0x40 != 0
	case 3:
		p.Jam = b&0x0C != 0 // cutter; mechanics or black mark, by make
		p.Broken = b&0x20 != 0
		p.Hot = b&0x40 != 0 // some set it for a cover that was opened while they printed, too
		p.Unnamed = p.Unnamed && b&0x6C == 0 && !p.CoverOpen && !p.PaperOut
	case 4:
		p.PaperLow = b&0x0C != 0
		p.PaperOut = p.PaperOut || b&0x60 != 0
	}
}

// Ask asks a printer for its status. Its answers do not say which question they answer: one that is late, or that
// another program asked for, shifts all that follow, so that the answer to one question would be read as that to
// another. So all questions are asked forwards and backwards: answers that are shifted by up to four places do not fit
// both orders, unless all are alike. If the two orders differ, each question is asked several times in a row to find by
// how many places the answers are late; if that cannot be found the report is Disordered. Errors are those of
// reader.AskCCID; a printer that answers only a part of the questions is no error.
func Ask(ctx context.Context, link serial.Link) (Report, error) {
	var p Report
	d := printerDialogue{Visit: frame.Visit{Link: link}}
	if err := d.Begin(); err != nil {
		return p, err
	}
	answers, known, err := d.bothWays(ctx)
	if err == nil && !known {
		if err = d.rows(ctx); err == nil {
			answers, known = d.sorted()
		}
	}
	p.Health = d.Health
	if err != nil {
		return p, err
	}
	// Some cheap ones answer with one byte whatever is asked. What it says is told by the first question alone.
	alike := answers[0] != well && answers == [questions]byte{answers[0], answers[0], answers[0], answers[0]}
	if p.Disordered = !known || alike && answers[0]&^onlyFirst != well; p.Disordered {
		return p, nil
	}
	for n, b := range answers {
		if b == 0 || alike && n > 0 {
			p.Unanswered = true // cheap ones know the first only
			break
		}
		p.put(byte(n+1), b)
	}
	return p, nil
}

// questions is how many there are: DLE EOT 1 to 4.
const questions = 4

// well is the answer to all of them of a printer that is well; onlyFirst are the bits of the first one's: the drawer's
// pin, and off line.
const (
	well      = 0x12
	onlyFirst = 0x0C
)

// bothWays asks 1, 2, 3, 4, 4, 3, 2, 1, and returns whether both answers to each were the same. Of a printer that does
// not answer question 2 it asks question 1 alone.
func (d *printerDialogue) bothWays(ctx context.Context) (a [questions]byte, same bool, err error) {
	last := byte(questions)
	for n := byte(1); n <= last; n++ {
		b, err := d.ask(ctx, n)
		if n > 1 && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			last = n - 1
			break
		}
		if err != nil {
			return a, false, err
		}
		a[n-1] = b
	}
	same = true
	for n := last; n >= 1; n-- {
		b, err := d.ask(ctx, n)
		if err != nil {
			return a, false, err
		}
		same = same && b == a[n-1]
	}
	return a, same, nil
}

// rows asks each question four times in a row, to have more to sort.
func (d *printerDialogue) rows(ctx context.Context) error {
	for n := byte(1); n <= questions; n++ {
		for range 4 {
			if _, err := d.ask(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// behindMax is the most places that answers can be behind and be sorted.
const behindMax = 7

// sorted finds the number of places by which all answers are late, so that no question has two different answers. Known
// is false if there is no such number, or if there are several and they give different answers.
func (d *printerDialogue) sorted() (a [questions]byte, known bool) {
	for behind := 1; behind <= behindMax; behind++ {
		var sorted [questions]byte
		fits := true
		for i := behind; i < len(d.said); i++ {
			switch own := &sorted[d.said[i-behind].n-1]; {
			case *own == 0:
				*own = d.said[i].b
			case *own != d.said[i].b:
				fits = false
			}
		}
		if !fits {
			continue
		}
		if known && sorted != a {
			return a, false
		}
		a, known = sorted, true
	}
	return a, known
}

type printerDialogue struct {
	frame.Visit
	said []said
}

// said is a question and what was answered then.
type said struct{ n, b byte }

func (d *printerDialogue) ask(ctx context.Context, n byte) (b byte, err error) {
	err = d.Twice(ctx, fmt.Sprintf("printer %d", n), func() (err error) { b, err = d.once(ctx, n); return err })
	if err == nil {
		d.said = append(d.said, said{n, b})
	}
	return b, err
}

func (d *printerDialogue) once(ctx context.Context, n byte) (byte, error) {
	stop, err := d.Say(ctx, printerLimit, []byte{0x10, 0x04, n})
	if err != nil {
		return 0, err
	}
	defer stop()
	for {
		switch b, err := d.Next(ctx, false); {
		case err != nil:
			return 0, err
		case answerOf(b):
			return b, nil
		case b&0x93 != 0x10 && b != 0x11 && b != 0x13: // its status by itself begins so; XON, XOFF
			d.Health.Garbage++
		}
	}
}

// Port status of a printer on USB or a parallel port (USB printer class 1.1, 4.2.2; linux/lp.h).
const (
	portNoPaper  = 0x20
	portSelected = 0x10
	portNoError  = 0x08
)

// PortStatus reads the byte that the kernel's LPGETSTATUS returns. Printers without a paper sensor on the port answer
// 18 hex whatever happens, so a good status proves nothing.
func PortStatus(b byte) (p Report, bad bool) {
	p = Report{PortOnly: true, PaperOut: b&portNoPaper != 0, Offline: b&portSelected == 0}
	p.Unnamed = b&portNoError == 0 && !p.PaperOut
	return p, p.PaperOut || p.Unnamed
}
