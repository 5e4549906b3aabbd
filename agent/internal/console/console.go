// Package console is what a technician at the terminal sees: a screen of 80 columns and 24 rows for a serial line,
// keys that every terminal program has, Chinese and English.
//
// On a serial line it may ask for a PIN, or for a signature, before it shows more than the verdict; elsewhere login is
// the system's business.
package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"posdx/agent/internal/charset"
	"posdx/agent/internal/say"
	"posdx/agent/internal/sshsig"
	"posdx/agent/internal/zmodem"
	"posdx/agent/report"
	"posdx/codes"
)

// A Backend is the daemon, in this process or behind its socket.
type Backend interface {
	State(ctx context.Context) (report.State, error)
	Check(ctx context.Context, names []string) ([]report.Evidence, error)
	Diagnose(ctx context.Context, lang, code, scheme string, origin report.Origin, next func(report.Diagnosis)) error
}

// Times of the console.
const (
	refresh    = 10 * time.Second // of a screen that is looked at
	watchEvery = 4 * time.Second  // of what a person is putting right
	dcdEvery   = time.Second
	lookedAt   = 10 * time.Minute // after the last key
	askTimeout = 5 * time.Second
	jobTimeout = 90 * time.Second
	probeWait  = time.Second            // for the terminal to say what it is: 20 characters at 300 baud
	writeWait  = 20 * time.Second       // a full screen at 1200 baud; after that the line is held (XOFF) or unplugged
	escWait    = 100 * time.Millisecond // the rest of a key's sequence follows Esc at once, Esc alone is a key
)

// A Console serves one terminal, one Run after the other.
type Console struct {
	Backend   Backend
	Knowledge func() *codes.Knowledge            // asked when a person comes
	Past      func() ([]report.Diagnosis, error) // what is kept, newest first; nil: only what the state lists
	Contacts  Contacts
	Lang      string        // "zh" or "en"
	GBK       bool          // the terminal is set to GBK, not UTF-8
	Plain     bool          // do not ask, the terminal has no cursor addressing
	Stay      bool          // after Q wait for the next person instead of returning: for a line that is always open
	PIN       string        // asked on a line that is always open before more than the verdict is shown; empty: not asked
	Hidden    bool          // before the PIN nothing is shown, not the verdict either
	Idle      time.Duration // after the last key until the person counts as gone; 0 is ten minutes
	Log       *slog.Logger  // of who unlocks and who fails to; nil: none

	// Bundle packs what the terminal knows for support, small enough for a slow line, and names the file. It is sent
	// over the same line by ZMODEM. Nil: there is none.
	Bundle func(ctx context.Context) (name string, file []byte, err error)

	// Carrier tells whether somebody is on the line, as its DCD says; a line that falls is locked. Nil: the line has none.
	Carrier func() (up, known bool)

	// Keys are of those who need no PIN: they sign what the console shows them. Terminal is this one's name, which is part
	// of it.
	Keys     []sshsig.Key
	Terminal string

	// Resized tells that the terminal has another size now. Nil: it does not say, and Ctrl-L asks it.
	Resized <-chan os.Signal

	pins, signatures tries
}

// A phase is how far a session with a person has come.
type phase byte

const (
	waiting phase = iota // for a person to press Enter
	asking               // the terminal what it is
	serving
)

func (c *Console) idle() time.Duration { return cmp.Or(c.Idle, lookedAt) }

// Run serves rw until ctx ends, the person leaves, or rw fails. One goroutine goes on reading until the caller closes
// rw, which it has to do after Run has returned.
//
// Every byte that comes in is taken as a key, one at a time and as fast as screens can be sent: garbage at a wrong
// speed, or an endless stream, only makes it paint what has changed.
func (c *Console) Run(ctx context.Context, rw io.ReadWriter) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &session{c: c, rw: rw, in: make(chan []byte), readErr: make(chan error, 1), events: make(chan func(*model), 4)}
	if c.GBK {
		s.encode = charset.NewGBK()
	}
	go s.read(ctx)
	return s.run(ctx)
}

// A session is one Run. All of it belongs to run's goroutine but what reads and the jobs, which send functions to it.
type session struct {
	c       *Console
	rw      io.ReadWriter
	encode  *charset.Writer // nil for UTF-8
	in      chan []byte
	readErr chan error
	events  chan func(*model)

	keys    decoder
	model   model
	screen  screen
	phase   phase
	dumb    bool
	text    string // what a dumb terminal shows
	typing  bool   // it shows an entry
	lastKey time.Time
	idle    bool
	carrier bool // it was up since the person came
	looking bool // at what is being put right
	asked   bool // a state is being asked for
	answers int  // of the terminal, about its cursor
	chinese bool // it shows Chinese as wide as it is
	resized bool // and was not asked yet how large it is now
}

func (s *session) read(ctx context.Context) {
	for {
		b := make([]byte, 64)
		n, err := s.rw.Read(b)
		if n > 0 {
			select {
			case s.in <- b[:n]:
			case <-ctx.Done():
				clear(b)
				return
			}
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			s.readErr <- err
			return
		}
	}
}

func (s *session) run(ctx context.Context) error {
	var probe <-chan time.Time
	if err := s.wait(); err != nil {
		return err
	}
	if !s.c.Stay {
		if err := s.ask(&probe); err != nil {
			return err
		}
	}
	for {
		var err error
		var tick <-chan time.Time
		if s.phase == serving && !s.idle {
			tick = time.After(refresh)
			if s.model.watches() {
				tick = time.After(watchEvery)
			}
		}
		var dcd <-chan time.Time
		if s.c.Stay && s.c.Carrier != nil && s.phase != waiting {
			dcd = time.After(dcdEvery)
		}
		var esc <-chan time.Time
		if s.keys.pending() {
			esc = time.After(escWait)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.readErr:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case b := <-s.in:
			s.lastKey, s.idle = time.Now(), false
			keys := make([]key, 0, len(b)) // if it grew, copies would be left behind that are not zeroed
			for _, c := range b {
				if k, ok := s.keys.push(c); ok {
					keys = append(keys, k)
				}
			}
			var left bool
			left, err = s.take(ctx, keys, &probe)
			clear(b) // a card reader that types like a keyboard may have sent it
			clear(keys)
			if left && err == nil {
				s.write([]byte("\r\n" + wordBye.In(s.model.lang) + "\r\n"))
				return nil
			}
		case <-esc:
			if k, ok := s.keys.flush(); ok {
				_, err = s.take(ctx, []key{k}, &probe)
			}
		case <-s.c.Resized:
			s.resized = true
		case <-probe:
			probe = nil
			err = s.begin(ctx, s.answers == 0)
		case f := <-s.events:
			f(&s.model)
			if s.phase == serving {
				err = s.paint()
			}
		case <-dcd:
			if up, known := s.c.Carrier(); known && up {
				s.carrier = true
			} else if known && s.carrier {
				s.carrier = false
				s.c.log().Info("console locked: the line has fallen")
				err = s.wait()
			}
		case <-tick:
			switch {
			case time.Since(s.lastKey) < s.c.idle():
				if !s.dumb { // a dumb terminal would be sent everything again
					s.state(ctx)
				}
				s.look(ctx)
			case s.c.Stay:
				err = s.wait()
			default:
				s.idle = true // the person counts as gone: no more questions
			}
		}
		if s.resized && s.phase == serving && err == nil { // after the answers that are still to come
			if s.resized = false; !s.dumb {
				err = s.ask(&probe)
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && s.c.Stay {
			err = s.wait() // no bytes can be sent: the line is held or unplugged
		}
		if err != nil {
			return err
		}
	}
}

// take reads keys and paints once for all of them.
func (s *session) take(ctx context.Context, keys []key, probe *<-chan time.Time) (left bool, err error) {
	changed := false
	for _, k := range keys {
		switch s.phase {
		case waiting:
			if k.r == keyEnter {
				if err := s.ask(probe); err != nil {
					return false, err
				}
			}
			continue
		case asking:
			if k.r != keyCursor {
				continue
			}
			if s.answers++; s.answers == 1 {
				s.chinese = k.column == 3
				continue
			}
			*probe = nil
			s.model.resize(k.row, k.column)
			if err := s.begin(ctx, false); err != nil {
				return false, err
			}
			continue
		}
		if k.r == keyCursor {
			continue
		}
		a := s.model.press(k)
		if left, err := s.do(ctx, a, probe); left || err != nil || s.phase == waiting {
			return left, err // what was typed ahead of leaving is dropped
		}
		changed = a.kind != actRepaint
	}
	if changed && s.phase == serving {
		return false, s.paint()
	}
	return false, nil
}

// do does what a key asks for.
func (s *session) do(ctx context.Context, a action, probe *<-chan time.Time) (left bool, err error) {
	switch a.kind {
	case actLeave:
		if !s.c.Stay {
			return true, nil
		}
		return false, s.wait()
	case actRepaint:
		return false, s.ask(probe)
	case actSend:
		return false, s.send(ctx)
	case actRefresh:
		s.state(ctx)
	case actHistory:
		s.state(ctx)
		s.readPast(ctx)
	case actWatch:
		s.look(ctx)
	case actUnlock:
		ok, wait := s.c.unlock(a.code, time.Now())
		s.model.unlocked(ok, wait)
	case actChallenge:
		if s.model.challenge == "" {
			s.model.challenge = s.c.challenge(time.Now())
		}
	case actVerify:
		ok, wait := s.c.verify(a.code, s.model.challenge, time.Now())
		s.model.challenge = "" // one is good for one try
		s.model.unlocked(ok, wait)
	case actCheck:
		s.job(ctx, func(in context.Context) error {
			list, err := s.c.Backend.Check(in, a.names)
			if err == nil {
				s.tell(ctx, func(m *model) { m.gotResults(list) })
			}
			return err
		})
	case actDiagnose:
		lang := s.model.lang
		s.job(ctx, func(in context.Context) error {
			return s.c.Backend.Diagnose(in, lang, a.code, "", report.OriginUnknown, func(d report.Diagnosis) {
				s.tell(ctx, func(m *model) { m.gotDiagnosis(d) })
			})
		})
	}
	return false, nil
}

// wait shows that somebody is at home, and nothing more, until Enter is pressed.
func (s *session) wait() error {
	clear := ""
	if s.phase == serving && !s.dumb {
		clear = "\x1b[0m\x1b[2J\x1b[H"
	}
	s.phase = waiting
	s.model = emptyModel(s.c.Lang, s.c.Knowledge(), s.c.Contacts)
	s.model.pin, s.model.key = s.c.PIN != "", len(s.c.Keys) > 0
	s.model.locked = s.c.Stay && (s.model.pin || s.model.key)
	s.model.hidden = s.model.locked && s.c.Hidden
	s.screen = screen{}
	if !s.c.Stay {
		return nil
	}
	err := s.write([]byte(clear + "\r\nposdx: " + wordPress.EN + " / " + wordPress.ZH + "\r\n"))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // nobody takes it; whoever comes presses Enter all the same
	}
	return err
}

// ask finds out what kind of terminal there is: it writes one Chinese character at the beginning of the line and asks
// for the column of the cursor. A VT100 answers; the column is 3 if the character was shown as one. It then sends the
// cursor too far to the right and down and asks again: where it stops is the size of the screen.
func (s *session) ask(probe *<-chan time.Time) error {
	if s.c.Plain {
		s.chinese = true
		return s.begin(context.Background(), true)
	}
	s.phase, s.answers, s.chinese = asking, 0, false
	*probe = time.After(probeWait)
	return s.write([]byte("\r中\x1b[6n\x1b[999;999H\x1b[6n"))
}

// begin serves, with or without cursor addressing.
func (s *session) begin(ctx context.Context, dumb bool) error {
	s.phase, s.dumb, s.screen, s.text, s.typing = serving, dumb, screen{}, "", false
	if !s.chinese && !s.c.GBK {
		s.model.lang, s.model.narrow = "en", true
	}
	if dumb {
		s.write([]byte("\r      \r\n"))
	}
	s.state(ctx)
	if !s.model.known {
		return nil // what is known comes in a moment, and is worth more than a screen that says nothing
	}
	return s.paint()
}

// state asks the backend what is known now, one question at a time.
func (s *session) state(ctx context.Context) {
	if s.asked {
		return
	}
	s.asked = true
	go func() {
		in, stop := context.WithTimeout(ctx, askTimeout)
		defer stop()
		st, err := s.c.Backend.State(in)
		s.tell(ctx, func(m *model) {
			s.asked = false
			if err != nil {
				m.known, m.gone = true, err
				return
			}
			m.gotState(st)
		})
	}()
}

// look has what a person is putting right checked again, one time after the other.
func (s *session) look(ctx context.Context) {
	if s.looking || s.model.busy || s.model.state.InSale {
		return
	}
	names := s.model.watching()
	if s.model.looks++; len(names) == 0 {
		return
	}
	s.looking = true
	go func() {
		in, stop := context.WithTimeout(ctx, jobTimeout)
		defer stop()
		list, err := s.c.Backend.Check(in, names)
		s.tell(ctx, func(m *model) {
			s.looking = false
			if err == nil {
				m.gotWatched(list)
			}
		})
	}()
}

// readPast reads what is kept of the past: some hundred documents on flash.
func (s *session) readPast(ctx context.Context) {
	if s.c.Past == nil || s.model.busy {
		return
	}
	s.model.busy = true
	s.job(ctx, func(context.Context) error {
		list, err := s.c.Past()
		s.tell(ctx, func(m *model) {
			if m.pastUnread = err != nil; !m.pastUnread {
				m.gotPast(list)
			}
		})
		return err
	})
}

// receiverWait is how long a person may take to have his terminal program receive.
const receiverWait = time.Minute

// send packs the bundle and sends it by ZMODEM. While it does nothing else is shown, and keys are the receiver's.
func (s *session) send(ctx context.Context) error {
	if s.c.Bundle == nil {
		s.model.note = wordNoBundle.In(s.model.lang)
		return nil
	}
	in, stop := context.WithTimeout(ctx, jobTimeout)
	name, file, err := s.c.Bundle(in)
	stop()
	if err != nil {
		s.model.failed(err)
		return nil
	}
	clear := "\x1b[0m\x1b[2J\x1b[H"
	if s.dumb {
		clear = "\r\n"
	}
	if err := s.write([]byte(clear + fmt.Sprintf(wordSending.In(s.model.lang), name, len(file)) + "\r\n")); err != nil {
		return err
	}
	err = zmodem.Send(ctx, rawWriter{s.rw}, s.in, name, time.Now(), file, receiverWait)
	s.screen, s.text, s.lastKey, s.keys = screen{}, "", time.Now(), decoder{}
	s.c.log().Info("console sent a bundle", "bytes", len(file), "err", err)
	switch {
	case err == nil:
		s.model.note = fmt.Sprintf(wordSent.In(s.model.lang), name)
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.ErrUnexpectedEOF):
		return err
	default:
		s.model.note = fmt.Sprintf(wordUnsent.In(s.model.lang), sendProblem(err, s.model.lang))
	}
	return nil
}

// sendProblem is why a file did not arrive, for a person.
func sendProblem(err error, lang string) string {
	switch {
	case errors.Is(err, zmodem.ErrNoReceiver):
		return wordNoReceiver.In(lang)
	case errors.Is(err, zmodem.ErrCancelled), errors.Is(err, zmodem.ErrRefused):
		return wordNotTaken.In(lang)
	}
	return say.Error(err, lang)
}

// A rawWriter writes to the line as it is, without waiting for ever.
type rawWriter struct{ to io.Writer }

func (w rawWriter) Write(b []byte) (int, error) {
	if d, ok := w.to.(interface{ SetWriteDeadline(time.Time) error }); ok {
		d.SetWriteDeadline(time.Now().Add(writeWait))
	}
	return w.to.Write(b)
}

// job runs what takes time. The model allows one at a time.
func (s *session) job(ctx context.Context, f func(context.Context) error) {
	go func() {
		in, stop := context.WithTimeout(ctx, jobTimeout)
		defer stop()
		err := f(in)
		s.tell(ctx, func(m *model) {
			m.done()
			if err != nil {
				m.failed(err)
			}
		})
	}()
}

// tell has run's goroutine do something with the model.
func (s *session) tell(ctx context.Context, f func(*model)) {
	select {
	case s.events <- f:
	case <-ctx.Done():
	}
}

// paint shows the model. A dumb terminal is sent the whole screen when it changed, and an entry as it is typed.
func (s *session) paint() error {
	lines := s.model.view()
	if !s.dumb {
		return s.write(s.screen.paint(lines, s.model.cols))
	}
	text := string(plain(lines))
	if s.model.entering() {
		echo := "\r> " + s.model.typed() + " \b"
		if s.typing {
			return s.write([]byte(echo))
		}
		s.typing = true
		body := s.model.body()
		return s.write([]byte("\r\n" + string(plain(body[:len(body)-1])) + echo))
	}
	s.typing = false
	if s.model.busy {
		text = wordBusy.In(s.model.lang) + "\r\n"
	}
	if text == s.text {
		return nil
	}
	s.text = text
	return s.write([]byte("\r\n" + text))
}

func (s *session) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if s.encode != nil {
		b = s.encode.Append(nil, b)
	}
	if d, ok := s.rw.(interface{ SetWriteDeadline(time.Time) error }); ok {
		d.SetWriteDeadline(time.Now().Add(writeWait))
	}
	_, err := s.rw.Write(b)
	return err
}
