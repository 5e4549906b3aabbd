package modem

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posdx/drivers/serial"
)

// A transcript is a modem made of a function: it hears a line and says bytes, now or later.
func transcript(t *testing.T, hear func(line string, say func(string, time.Duration))) serial.Link {
	host, device := net.Pipe()
	out, over := make(chan string, 1000), make(chan struct{})
	go func() {
		for {
			select {
			case s := <-out:
				io.WriteString(device, s)
			case <-over:
				return
			}
		}
	}()
	say := func(s string, after time.Duration) {
		if after == 0 {
			out <- s
			return
		}
		time.AfterFunc(after, func() { out <- s })
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		var line []byte
		b := make([]byte, 1)
		for {
			if _, err := device.Read(b); err != nil {
				return
			}
			if b[0] != '\r' {
				line = append(line, b[0])
				continue
			}
			hear(string(line), say)
			line = line[:0]
		}
	}()
	t.Cleanup(func() { host.Close(); device.Close(); close(over); <-heard })
	return host
}

// answers is a modem that answers from a table and OK to all else.
func answers(table map[string]string) func(string, func(string, time.Duration)) {
	return func(line string, say func(string, time.Duration)) {
		if a, ok := table[line]; ok {
			say(a, 0)
			return
		}
		say("\r\nOK\r\n", 0)
	}
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		name, command, prefix, said string
		want                        string // lines joined by |
		err                         string // part of it
	}{
		{"plain", "AT+CSQ", "+CSQ:", "\r\n+CSQ: 18,99\r\n\r\nOK\r\n", "+CSQ: 18,99", ""},
		{"echo", "AT+CSQ", "+CSQ:", "AT+CSQ\r\r\n+CSQ: 18,99\r\n\r\nOK\r\n", "+CSQ: 18,99", ""},
		{"echo twice", "AT+CSQ", "+CSQ:", "AT+CSQ\rAT+CSQ\r\r\n+CSQ: 18,99\r\n\r\nOK\r\n", "+CSQ: 18,99", ""},
		{"unasked before", "AT+CSQ", "+CSQ:", "\r\nRING\r\n\r\n+CREG: 1\r\n\r\n+CSQ: 18,99\r\n\r\nOK\r\n", "+CSQ: 18,99", ""},
		{"unasked between", "AT+CSQ", "+CSQ:", "\r\n+CSQ: 18,99\r\n\r\n^RSSI:18\r\n\r\nOK\r\n", "+CSQ: 18,99", ""},
		{"unasked behind", "AT+CSQ", "+CSQ:", "\r\n+CSQ: 18,99\r\n\r\nOK\r\n\r\n+CMTI: \"SM\",1\r\n", "+CSQ: 18,99", ""},
		{"many lines", "AT+CGACT?", "+CGACT:", "\r\n+CGACT: 1,1\r\n+CGACT: 2,0\r\n\r\nOK\r\n", "+CGACT: 1,1|+CGACT: 2,0", ""},
		{"no prefix", "AT+CGMM", "", "\r\nEC25\r\n\r\nOK\r\n", "EC25", ""},
		{"no prefix, unasked", "AT+CGMM", "", "\r\n^MODE: 5,4\r\n\r\nEC25\r\n\r\nRING\r\n\r\nOK\r\n", "EC25", ""},
		{"no prefix, broken echo", "AT+CGMM", "", "AT+CG\r\n\r\nEC25\r\n\r\nOK\r\n", "EC25", ""},
		{"OK alone", "AT+CGACT?", "+CGACT:", "\r\nOK\r\n", "", ""},
		{"refused", "AT+QCSQ", "+QCSQ:", "\r\nERROR\r\n", "", "AT+QCSQ: ERROR"},
		{"refused with a number", "AT+CPIN?", "+CPIN:", "\r\n+CME ERROR: 10\r\n", "", "AT+CPIN?: +CME ERROR 10"},
		{"refused in words", "AT+CPIN?", "+CPIN:", "\r\n+CME ERROR: SIM not inserted\r\n", "", "+CME ERROR 10"},
		{"Huawei", "AT+CPSI?", "+CPSI:", "\r\nCOMMAND NOT SUPPORT\r\n", "", "COMMAND NOT SUPPORT"},
		{"line feeds only", "AT+CSQ", "+CSQ:", "\n+CSQ: 18,99\n\nOK\n", "+CSQ: 18,99", ""},
		{"rubbish before", "AT+CSQ", "+CSQ:", "\x00\xff\x81\r\n+CSQ: 18,99\r\n\r\nOK\r\n", "+CSQ: 18,99", ""},
		{"silence", "AT+CSQ", "+CSQ:", "", "", "idle"},
		{"only echo", "AT+CSQ", "+CSQ:", "AT+CSQ\r\n", "", "idle"},
		{"half an answer", "AT+CSQ", "+CSQ:", "\r\n+CSQ: 1", "", "garbled"},
		{"only rubbish", "AT+CSQ", "+CSQ:", "\x80\x81\x82\r\n", "", "garbled"},
		{"endless line", "AT+CSQ", "+CSQ:", strings.Repeat("x", 9000), "", "garbled"},
		{"endless lines", "AT+CSQ", "+CSQ:", strings.Repeat("RING\r\n", 2000), "", "garbled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := New(transcript(t, answers(map[string]string{c.command: c.said})))
				lines, err := d.Command(t.Context(), c.command, c.prefix)
				if got := strings.Join(lines, "|"); got != c.want || (err == nil) != (c.err == "") || err != nil &&
					!strings.Contains(err.Error(), c.err) {
					t.Errorf("%q, %v; want %q, %q", got, err, c.want, c.err)
				}
			})
		})
	}
}

// An answer that comes after its command's deadline must not be taken for the next command's.
func TestLateAnswer(t *testing.T) {
	for _, late := range []time.Duration{commandLimit + 10*time.Millisecond, commandLimit + quietLimit +
		50*time.Millisecond,
		commandLimit + 2*quietLimit + 50*time.Millisecond, commandLimit + quietLimit + 900*time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				link := transcript(t, func(line string, say func(string, time.Duration)) {
					switch line {
					case "AT+CSQ":
						say("\r\n+CSQ: 31,99\r\n\r\nOK\r\n", late)
					case "AT+CGATT?":
						say("\r\n+CGATT: 1\r\n\r\nOK\r\n", 200*time.Millisecond)
					default:
						say("\r\nOK\r\n", 0)
					}
				})
				d := New(link)
				if _, err := d.Command(t.Context(), "AT+CSQ", "+CSQ:"); !errors.Is(err, serial.ErrIdle) {
					t.Fatalf("too late: %v", err)
				}
				lines, err := d.Command(t.Context(), "AT+CGATT?", "+CGATT:")
				if err != nil || len(lines) != 1 || lines[0] != "+CGATT: 1" {
					t.Errorf("the next command got %q, %v", lines, err)
				}
				lines, err = d.Command(t.Context(), "AT+CGMM", "")
				if err != nil || len(lines) != 0 {
					t.Errorf("the one after got %q, %v", lines, err)
				}
			})
		})
	}
}

// The same against a late refusal, which fits every command.
func TestLateRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(transcript(t, func(line string, say func(string, time.Duration)) {
			if line == "AT+CPIN?" {
				say("\r\n+CME ERROR: 10\r\n", commandLimit+quietLimit+100*time.Millisecond)
				return
			}
			if line == "AT+CGATT?" {
				say("\r\n+CGATT: 1\r\n\r\nOK\r\n", 200*time.Millisecond)
				return
			}
			say("\r\nOK\r\n", 0)
		}))
		d.Command(t.Context(), "AT+CPIN?", "+CPIN:")
		if lines, err := d.Command(t.Context(), "AT+CGATT?", "+CGATT:"); err != nil || len(lines) != 1 {
			t.Errorf("%q, %v", lines, err)
		}
	})
}

func TestDeadAfterDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(transcript(t, func(string, func(string, time.Duration)) {}))
		d.Command(t.Context(), "AT+CSQ", "+CSQ:")
		start := time.Now()
		_, err := d.Command(t.Context(), "AT+CSQ", "+CSQ:")
		if !errors.Is(err, serial.ErrIdle) || !errors.Is(err, errLost) ||
			time.Since(start) > resyncTries*(drainLimit+resyncLimit) {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestHello(t *testing.T) {
	for _, c := range []struct {
		name string
		hear func(line string, say func(string, time.Duration))
		err  error
	}{
		{"there", answers(nil), nil},
		{"digits", func(_ string, say func(string, time.Duration)) { say("AT\r0\r", 0) }, nil},
		{"asleep at first", func() func(string, func(string, time.Duration)) {
			n := 0
			return func(_ string, say func(string, time.Duration)) {
				if n++; n > 1 {
					say("\r\nOK\r\n", 0)
				}
			}
		}(), nil},
		{"nobody", func(string, func(string, time.Duration)) {}, serial.ErrIdle},
		{"an echo and nobody", func(line string, say func(string, time.Duration)) { say(line+"\r", 0) }, serial.ErrIdle},
		{"not a modem", func(_ string, say func(string, time.Duration)) { say("login: ", 0) }, serial.ErrGarbled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := New(transcript(t, c.hear)).Hello(t.Context()); !errors.Is(err, c.err) {
					t.Errorf("%v, want %v", err, c.err)
				}
			})
		})
	}
}

func TestContextEndsACommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(transcript(t, func(string, func(string, time.Duration)) {}))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		start := time.Now()
		if _, err := d.Command(ctx, "AT+CSQ", "+CSQ:"); !errors.Is(err, context.Canceled) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A modem that gives no reasons is asked for numbers, and left as it was.
func TestReasonsAskedAndPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cmee := "0"
		link := transcript(t, func(line string, say func(string, time.Duration)) {
			switch line {
			case "AT+CMEE?":
				say("\r\n+CMEE: "+cmee+"\r\n\r\nOK\r\n", 0)
			case "AT+CMEE=1", "AT+CMEE=0":
				cmee = line[len(line)-1:]
				say("\r\nOK\r\n", 0)
			case "AT+CPIN?":
				if cmee == "0" {
					say("\r\nERROR\r\n", 0)
				} else {
					say("\r\n+CME ERROR: 10\r\n", 0)
				}
			default:
				say("\r\nOK\r\n", 0)
			}
		})
		r, err := Ask(t.Context(), link, Config{})
		if err != nil || r.SIM != SIMMissing || cmee != "0" {
			t.Errorf("%+v, %v, CMEE %s", r, err, cmee)
		}
	})
}

// One lost answer costs that answer, not the visit.
func TestOneAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := map[string]string{"AT+CGMM": "\r\nEC25\r\n\r\nOK\r\n", "AT+CPIN?": "\r\n+CP", "AT+CEREG?": "\r\n+CEREG: 0,1\r\n\r\nOK\r\n",
			"AT+CSQ": "\r\n+CSQ: 18,99\r\n\r\nOK\r\n", "AT+CGATT?": "\r\n+CGATT: 1\r\n\r\nOK\r\n"}
		r, err := Ask(t.Context(), transcript(t, answers(table)), Config{})
		if err != nil || r.Lost != 1 || r.SIM != SIMUnknown || r.Registration != RegHome || len(r.Signals) != 1 ||
			!r.Bearer.Attached {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// FuzzDialogue lets a modem say anything at all: every command ends, within its bound.
func FuzzDialogue(f *testing.F) {
	f.Add([]byte("\r\n+CSQ: 18,99\r\n\r\nOK\r\n"))
	f.Add([]byte("AT+CSQ\r\r\nERROR\r\n\r\nRING\r\n"))
	f.Add([]byte("0\r"))
	f.Add(bytes.Repeat([]byte{0xff}, 600))
	f.Fuzz(func(t *testing.T, said []byte) {
		d := New(&said1{Reader: bytes.NewReader(said)})
		for range 3 {
			lines, err := d.Command(context.Background(), "AT+CSQ", "+CSQ:")
			if len(lines) > linesMax {
				t.Errorf("%d lines", len(lines))
			}
			for _, l := range lines {
				if len(l) > lineMax || !printable(l) || !strings.HasPrefix(l, "+CSQ:") {
					t.Errorf("line %q", l)
				}
			}
			if err != nil {
				break
			}
		}
	})
}

// said1 is a line on which everything has been said: then it is idle.
type said1 struct{ *bytes.Reader }

func (s *said1) Read(b []byte) (int, error) {
	if n, err := s.Reader.Read(b); err == nil {
		return n, nil
	}
	return 0, serial.ErrIdle
}
func (*said1) Write(b []byte) (int, error)      { return len(b), nil }
func (*said1) Close() error                     { return nil }
func (*said1) SetReadDeadline(time.Time) error  { return nil }
func (*said1) SetWriteDeadline(time.Time) error { return nil }
