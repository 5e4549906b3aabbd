// Package modem asks a cellular or dial-up modem, in AT commands, for its state: identity, SIM, registration, signal,
// bearer. It sends queries only, and no setting that outlives them. It copes with what modems do: unasked lines
// anywhere, late answers, an echo once, twice or never, garbage, and answers that break off in the middle of a word.
package modem

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"posdx/drivers/serial"
)

const (
	commandLimit = 1500 * time.Millisecond // local state: V.250 modems answer within 300 ms, busy ones within a second
	helloLimit   = 700 * time.Millisecond  // of the first AT, which a sleeping modem may miss
	helloTries   = 3
	quietLimit   = 300 * time.Millisecond // silence after which a line counts as drained
	drainLimit   = time.Second            // for a line that is never quiet
	resyncLimit  = time.Second            // for the modem to pay the answers it owes
	resyncTries  = 2
	lineMax      = 512                    // longer lines are not for us
	linesMax     = 64                     // of one answer
	bytesMax     = 8192                   // what one command may bring, unasked lines included
	readMax      = 256                    // bytes of one read
	tailMax      = 192                    // bytes in which frames are looked for
	partingLimit = 50 * time.Millisecond  // for a dialogue that was broken off: a sale is waiting
	listenLimit  = 30 * time.Millisecond  // before the first word
	endLimit     = 500 * time.Millisecond // after a line of the answer: some modems never say the OK behind it
)

// A CommandError is a final result code other than OK.
type CommandError struct {
	Command string
	Final   string // as the modem said it: ERROR, NO CARRIER, +CME ERROR
	Code    int    // of +CME and +CMS ERROR; -1 if there is none, or only a text that is not known
}

func (e *CommandError) Error() string {
	if e.Code >= 0 {
		return fmt.Sprintf("%s: %s %d", e.Command, e.Final, e.Code)
	}
	return e.Command + ": " + e.Final
}

// errLost is that modem and we do not find to each other again.
var errLost = errors.New("dialogue lost")

// ErrFrames is the error of a port that carries the frames of a multiplexer (27.010) or of a data call (PPP): another
// program is using it.
var ErrFrames = errors.New("the port carries frames, not answers")

// A Dialogue is the conversation with a modem over a port that is ours alone. One goroutine owns it.
type Dialogue struct {
	link        serial.Link
	owed        int  // final results that commands which ran into their deadline may still bring
	doubt       bool // a result may still come that belongs to an earlier command: an OK alone proves nothing
	numeric     bool // ATV0 is in force: results are digits
	dialUp      bool // no 27.007: see markers
	noRegisters bool
	lost        bool // no marker was answered: it is no use to try again

	buf    [readMax]byte
	rest   []byte // of buf, not yet looked at
	line   []byte
	long   bool   // the line is longer than lineMax; its end is awaited
	tail   []byte // of what came, to find frames in
	framed bool   // they were found: not a byte more is sent

	// Counts since New.
	Unasked uint64 // lines that answered nothing
	Garbage uint64 // lines with bytes no modem says
	Late    uint64 // results that came after their command's deadline
	Call    string // the last call's result that was overheard, as the modem said it: BUSY
}

// New begins a dialogue. It sends nothing yet.
func New(link serial.Link) *Dialogue { return &Dialogue{link: link} }

// Command sends one query and returns the lines of its answer. A line belongs to the answer if it begins with prefix;
// with prefix "" every line does that is not known to be unasked. Errors are a *CommandError, serial.ErrIdle (nothing
// came), serial.ErrGarbled (bytes came, and no answer was among them), serial.ErrGone or the context's.
//
// After ErrIdle and ErrGarbled late answers may still come: the next Command waits for them first.
func (d *Dialogue) Command(ctx context.Context, command, prefix string) ([]string, error) {
	if d.framed {
		return nil, fmt.Errorf("ask modem: %w", ErrFrames)
	}
	switch {
	case d.owed > 0:
		if err := d.resync(ctx); err != nil {
			return nil, err
		}
	case d.doubt && !d.lost:
		if err := d.Sync(ctx); err != nil {
			return nil, err
		}
	}
	lines, err := d.once(ctx, command, prefix, commandLimit)
	if err != nil {
		return nil, fmt.Errorf("ask modem: %w", err)
	}
	return lines, nil
}

// once is one command and its answer.
func (d *Dialogue) once(ctx context.Context, command, prefix string, limit time.Duration) ([]string, error) {
	stop, err := serial.Bind(ctx, d.link, time.Now().Add(limit))
	if err != nil {
		return nil, err
	}
	defer func() { stop() }()
	if _, err := d.link.Write([]byte(command + "\r")); err != nil {
		return nil, serial.Why(ctx, err)
	}
	var lines []string
	bare := false          // an OK with nothing before it has come
	var call *CommandError // a call's result came; it ends a query only if nothing else does
	heard := 0             // bytes that are neither echo nor white space
	for spent := 0; spent < bytesMax; {
		line, err := d.next()
		spent += len(line) + 1
		if err != nil {
			idle := errors.Is(serial.Why(ctx, err), serial.ErrIdle)
			if bare && idle {
				return nil, nil // it was ours, and all
			}
			if prefix != "" && len(lines) > 0 && idle && len(d.line) == 0 {
				d.doubt = true // Wavecom's do not say OK behind +CPIN: READY; if it is late, it is another's
				return lines, nil
			}
			d.owed++
			d.doubt = true
			if call != nil && errors.Is(serial.Why(ctx, err), serial.ErrIdle) {
				return nil, call
			}
			if errors.Is(err, os.ErrDeadlineExceeded) && (heard > 0 || len(d.line) > 0) {
				if err = serial.Why(ctx, err); errors.Is(err, serial.ErrIdle) {
					err = serial.ErrGarbled
				}
			}
			return nil, fmt.Errorf("%s: %w", command, serial.Why(ctx, err))
		}
		switch {
		case line == "" || echo(line, command):
			continue
		case !printable(line):
			d.Garbage++
			heard += len(line)
			continue
		}
		heard += len(line)
		final, ok := d.final(line)
		switch {
		case ok && final.Final == "OK":
			if !d.doubt || bare || len(lines) > 0 {
				return lines, nil
			}
			bare = true // perhaps that of an earlier command: wait whether more comes
			stop()
			if stop, err = serial.Bind(ctx, d.link, time.Now().Add(quietLimit)); err != nil {
				stop = func() {}
				return nil, err
			}
		case ok && callResult(final.Final):
			d.Call, final.Command = final.Final, command
			call = &final
		case ok:
			final.Command = command
			return nil, &final
		case prefix == "" && !unasked(line), prefix != "" && strings.HasPrefix(line, prefix):
			if len(lines) < linesMax {
				lines = append(lines, line)
			}
			if prefix != "" {
				stop()
				if stop, err = serial.Bind(ctx, d.link, time.Now().Add(endLimit)); err != nil {
					stop = func() {}
					return nil, err
				}
			}
		default:
			d.Unasked++
		}
	}
	d.owed++
	d.doubt = true
	return nil, fmt.Errorf("%s: no end of lines: %w", command, serial.ErrGarbled)
}

// listen waits for frames before anything is sent: an AT in the middle of a multiplexer's or a data call's bytes would
// at best be lost there.
func (d *Dialogue) listen(ctx context.Context) error {
	stop, err := serial.Bind(ctx, d.link, time.Now().Add(listenLimit))
	if err != nil {
		return err
	}
	defer stop()
	for spent := 0; spent < bytesMax; {
		line, err := d.next()
		spent += len(line) + 1
		if err == nil {
			continue
		}
		d.line = d.line[:0]
		if err = serial.Why(ctx, err); errors.Is(err, serial.ErrIdle) {
			return nil
		}
		return fmt.Errorf("listen to modem: %w", err)
	}
	return nil
}

// Hello finds out whether a modem answers: it sends AT until it is answered, three times at most. Errors are those of
// Command.
func (d *Dialogue) Hello(ctx context.Context) error {
	var err error
	garbled := false
	for range helloTries {
		if err = d.pay(ctx, helloLimit); err == nil {
			return nil
		}
		d.owed++
		d.doubt = true
		garbled = garbled || errors.Is(err, serial.ErrGarbled)
		if !errors.Is(err, serial.ErrIdle) && !errors.Is(err, serial.ErrGarbled) {
			break
		}
	}
	if garbled && errors.Is(err, serial.ErrIdle) { // silent the last time, but not always
		err = serial.ErrGarbled
	}
	return fmt.Errorf("ask modem: AT: %w", err)
}

// parting sends the last command of a dialogue that is over, to restore a setting, and waits a moment for its answer.
// It uses no context: that of the dialogue may have ended because a sale begins.
func (d *Dialogue) parting(command string) {
	stop, err := serial.Bind(context.Background(), d.link, time.Now().Add(partingLimit))
	if err != nil {
		return
	}
	defer stop()
	if d.framed {
		return
	}
	if _, err := d.link.Write([]byte("\r" + command + "\r")); err != nil { // the first ends a line that was broken off
		return
	}
	for spent, came := 0, 0; spent < bytesMax && came <= d.owed; { // the answer that was not waited for comes first
		line, err := d.next()
		if err != nil {
			return
		}
		spent += len(line) + 1
		if final, ok := d.final(line); ok && !callResult(final.Final) {
			came++
		}
	}
}

// resync makes sure that the next answer belongs to the next command: it reads what is on the line, sends AT, and waits
// for as many results as the modem may still owe, or for silence.
func (d *Dialogue) resync(ctx context.Context) error {
	var err error
	for range resyncTries {
		if err = d.drain(ctx); err != nil {
			break
		}
		if err = d.pay(ctx, resyncLimit); err == nil {
			if d.doubt && !d.lost {
				return d.Sync(ctx)
			}
			return nil
		}
		if !errors.Is(err, serial.ErrIdle) && !errors.Is(err, serial.ErrGarbled) {
			break
		}
	}
	return fmt.Errorf("resync modem: %w: %w", errLost, err)
}

// pay says AT and takes results until all that may be owed have come, or one has and then silence.
func (d *Dialogue) pay(ctx context.Context, limit time.Duration) error {
	stop, err := serial.Bind(ctx, d.link, time.Now().Add(limit))
	if err != nil {
		return err
	}
	defer func() { stop() }()
	if _, err := d.link.Write([]byte("AT\r")); err != nil {
		return serial.Why(ctx, err)
	}
	heard, came := 0, 0
	for spent := 0; spent < bytesMax; {
		line, err := d.next()
		spent += len(line) + 1
		if err != nil {
			err = serial.Why(ctx, err)
			if came > 0 && errors.Is(err, serial.ErrIdle) {
				d.owed = 0
				return nil
			}
			if heard+len(d.line) > 0 && errors.Is(err, serial.ErrIdle) {
				err = serial.ErrGarbled
			}
			return err
		}
		if line == "" || echo(line, "AT") {
			continue
		}
		heard += len(line)
		if line == "0" {
			d.numeric = true
		}
		if final, ok := d.final(line); !ok || callResult(final.Final) {
			continue
		}
		if came++; came > d.owed {
			d.owed, d.doubt = 0, false
			return nil
		}
		stop() // the last debt may have been forgiven: wait for it only so long
		if stop, err = serial.Bind(ctx, d.link, time.Now().Add(quietLimit)); err != nil {
			stop = func() {}
			return err
		}
	}
	return serial.ErrGarbled
}

// A marker is a command whose answer cannot be confused with any other. Modems answer in the order in which they are
// asked, so everything before the marker's answer belongs to another program or to an earlier visit, and none of that
// can come after it.
type marker struct {
	command string
	mine    func(line string) bool
}

// registers are those of V.250 that every modem has, with the values that they have unless they were changed: carriage
// return, line feed and backspace. Which one is asked is drawn at random, so that a late answer to one is not taken for
// the answer to another.
var registers = [...]struct{ command, answer string }{{"ATS3?", "013"}, {"ATS4?", "010"}, {"ATS5?", "008"}}

func (d *Dialogue) markers() []marker {
	prefix := func(p string) func(string) bool {
		return func(line string) bool { return strings.HasPrefix(line, p) }
	}
	n := rand.IntN(len(registers))
	register := func(i int) marker {
		r := registers[(n+i)%len(registers)]
		return marker{r.command, func(line string) bool { return line == r.answer }}
	}
	if d.dialUp {
		return []marker{register(0), register(1)}
	}
	list := []marker{register(0), {"AT+CSQ", prefix("+CSQ:")}, {"AT+CGATT?", prefix("+CGATT:")}, register(1)}
	if d.noRegisters {
		return list[1:3]
	}
	return list
}

// Sync makes sure that the next answer is that of the next question, whatever was asked on this line before and by
// which program: one answer that comes late would shift all that follow. Two markers must be answered, because the
// answer to the first may be an old one. If the modem answers no marker the doubt remains; that is no error.
func (d *Dialogue) Sync(ctx context.Context) error {
	const needed = 2
	found, silent := 0, false
	for _, m := range d.markers() {
		mine, came, err := d.mark(ctx, m)
		if err != nil {
			return fmt.Errorf("sync modem: %w", err)
		}
		switch {
		case mine:
			found++
			silent = false
		case came == 0:
			silent = true // its answer may come yet
		case strings.HasPrefix(m.command, "ATS"):
			d.noRegisters = !d.dialUp
		}
		if found >= needed && !silent || d.noRegisters && strings.HasPrefix(m.command, "AT+CGATT") {
			break
		}
	}
	switch {
	case silent:
		d.owed, d.doubt = d.owed+1, true
	case found > 0:
		d.owed, d.doubt = 0, false
	}
	d.lost = found == 0 && !silent
	return nil
}

// mark asks a marker and waits for its answer.
func (d *Dialogue) mark(ctx context.Context, m marker) (mine bool, came int, err error) {
	stop, err := serial.Bind(ctx, d.link, time.Now().Add(commandLimit))
	if err != nil {
		return false, 0, err
	}
	defer func() { stop() }()
	if _, err := d.link.Write([]byte(m.command + "\r")); err != nil {
		return false, 0, serial.Why(ctx, err)
	}
	for spent := 0; spent < bytesMax; {
		line, err := d.next()
		spent += len(line) + 1
		if err != nil {
			err = serial.Why(ctx, err)
			if !errors.Is(err, serial.ErrIdle) {
				return false, 0, err
			}
			d.line = d.line[:0]
			return mine, came, nil
		}
		if line == "" || echo(line, m.command) {
			continue
		}
		final, ok := d.final(line)
		switch {
		case ok && callResult(final.Final):
			d.Call = final.Final
			continue
		case m.mine(line):
			mine = true
		case !ok:
			continue
		case mine:
			return true, came, nil
		default: // the answer to another program's command, or a refusal of it: ours follows at once, or never
			if came++; came > 1 || final.Final == "OK" {
				d.Late++
			}
		}
		limit := quietLimit
		if mine {
			limit = endLimit
		}
		stop()
		if stop, err = serial.Bind(ctx, d.link, time.Now().Add(limit)); err != nil {
			stop = func() {}
			return false, 0, err
		}
	}
	return false, came, nil
}

// drain reads until the line has been quiet, or for a second.
func (d *Dialogue) drain(ctx context.Context) error {
	d.rest, d.line, d.long = nil, d.line[:0], false
	for end := time.Now().Add(drainLimit); time.Now().Before(end); {
		stop, err := serial.Bind(ctx, d.link, time.Now().Add(quietLimit))
		if err != nil {
			return err
		}
		line, err := d.next()
		stop()
		if final, ok := d.final(line); err == nil && ok && !callResult(final.Final) && d.owed > 0 {
			d.owed--
			d.Late++
		}
		if err == nil {
			continue
		}
		d.line = d.line[:0]
		if err = serial.Why(ctx, err); errors.Is(err, serial.ErrIdle) {
			return nil
		}
		return err
	}
	return nil // never quiet: what follows will find out what it is worth
}

// next returns the next line without its end, "" for an empty one and for one that is too long.
func (d *Dialogue) next() (string, error) {
	for {
		for i, c := range d.rest {
			if c != '\r' && c != '\n' {
				if len(d.line) < lineMax {
					d.line = append(d.line, c)
				} else {
					d.long = true
				}
				continue
			}
			d.rest = d.rest[i+1:]
			s := string(d.line)
			if d.long {
				d.Garbage++
				s = ""
			}
			d.line, d.long = d.line[:0], false
			return strings.TrimSpace(s), nil
		}
		n, err := d.link.Read(d.buf[:])
		d.rest = d.buf[:n]
		if d.tail = append(d.tail, d.rest...); frames(d.tail) {
			d.framed = true
			return "", ErrFrames
		}
		d.tail = d.tail[:copy(d.tail, d.tail[max(0, len(d.tail)-tailMax):])]
		if n == 0 && err != nil {
			return "", err
		}
	}
}

// echo reports whether a line is our own command, sent back. A modem that receives a command while it sends puts the
// echo right behind what it was sending.
func echo(line, command string) bool { return strings.EqualFold(line, command) }

func printable(s string) bool {
	for i := range len(s) {
		if (s[i] < ' ' || s[i] > '~') && s[i] != '\t' {
			return false
		}
	}
	return true
}

// final recognises what ends an answer, also when the modem was told to say it in digits.
func (d *Dialogue) final(line string) (CommandError, bool) {
	if d.numeric && len(line) == 1 {
		if text, ok := map[string]string{"0": "OK", "1": "CONNECT", "3": "NO CARRIER", "4": "ERROR", "6": "NO DIALTONE", "7": "BUSY", "8": "NO ANSWER"}[line]; ok {
			line = text
		}
	}
	return finalResult(line)
}

// finalResult recognises what ends an answer (V.250 5.7.1, 27.007 9.1 and 9.2, 27.005 3.1, and vendors' own).
func finalResult(line string) (CommandError, bool) {
	for _, code := range []string{"+CME ERROR:", "+CMS ERROR:"} {
		text, ok := strings.CutPrefix(line, code)
		if !ok {
			continue
		}
		text = strings.TrimSpace(text)
		if n, err := strconv.Atoi(text); err == nil && n >= 0 {
			return CommandError{Final: code[:len(code)-1], Code: n}, true
		}
		return CommandError{Final: code[:len(code)-1], Code: cmeCode(text)}, true
	}
	if text, ok := strings.CutPrefix(line, "MODEM ERROR:"); ok {
		code, err := strconv.Atoi(strings.TrimSpace(text))
		return CommandError{Final: "MODEM ERROR", Code: code}, err == nil && code >= 0
	}
	switch line {
	case "OK", "ERROR", "NO CARRIER", "NO DIALTONE", "NO DIAL TONE", "BUSY", "NO ANSWER", "BLACKLISTED", "DELAYED",
		"COMMAND NOT SUPPORT", "NA", "TOO MANY PARAMETERS", "CONNECT":
		return CommandError{Final: line, Code: -1}, true
	}
	if strings.HasPrefix(line, "CONNECT ") {
		return CommandError{Final: "CONNECT", Code: -1}, true
	}
	return CommandError{}, false
}

// callResult reports whether a result can only be that of a call (V.250 6.3.1, and the two results with which some
// makers' modems refuse to dial a number again). No question of ours is answered so: a call of another program has
// ended.
func callResult(final string) bool { return LineOutcome(final) != "" || final == "CONNECT" }

// unasked recognises lines that modems say by themselves, for answers that have no prefix to be known by.
func unasked(line string) bool {
	if strings.HasPrefix(line, "AT") { // a broken echo
		return true
	}
	switch line {
	case "RING", "RDY", "SMS DONE", "PB DONE", "SMS READY", "SMS Ready", "Call Ready", "READY", "NORMAL POWER DOWN",
		"POWERED DOWN", "UNDER-VOLTAGE WARNING", "UNDER-VOLTAGE WARNNING", "OVER-VOLTAGE WARNING", "OVER-VOLTAGE POWER DOWN":
		return true
	}
	switch line[0] {
	case '^', '%', '*', '$':
		return true
	case '+': // +CGMI answers may carry their own name; all else is unasked
		return !strings.HasPrefix(line, "+CGM") && !strings.HasPrefix(line, "+GM")
	}
	return false
}
