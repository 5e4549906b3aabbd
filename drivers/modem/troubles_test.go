package modem

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posdx/drivers/serial"
)

// A call that ends while a question is open is not the answer to it, and the next question must not get this one's.
func TestCallEndsDuringAQuestion(t *testing.T) {
	for _, result := range []string{"NO CARRIER", "BUSY", "NO DIALTONE", "NO ANSWER", "BLACKLISTED", "DELAYED"} {
		synctest.Test(t, func(t *testing.T) {
			d := New(transcript(t, answers(map[string]string{
				"AT+CSQ":    "\r\n" + result + "\r\n\r\n+CSQ: 18,99\r\n\r\nOK\r\n",
				"AT+CGATT?": "\r\n+CGATT: 1\r\n\r\nOK\r\n",
			})))
			lines, err := d.Command(t.Context(), "AT+CSQ", "+CSQ:")
			if err != nil || len(lines) != 1 || d.Call != result {
				t.Errorf("%s: %q, %v, call %q", result, lines, err, d.Call)
			}
			if lines, err := d.Command(t.Context(), "AT+CGATT?", "+CGATT:"); err != nil || len(lines) != 1 || lines[0] != "+CGATT: 1" {
				t.Errorf("%s: the next question got %q, %v", result, lines, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // nothing else comes: then it was
		d := New(transcript(t, answers(map[string]string{"AT+CSQ": "\r\nNO CARRIER\r\n"})))
		if _, err := d.Command(t.Context(), "AT+CSQ", "+CSQ:"); err == nil || !strings.Contains(err.Error(), "AT+CSQ: NO CARRIER") {
			t.Errorf("%v", err)
		}
	})
}

// Why the network refused is told if the modem knows it.
func TestRejectCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Ask(t.Context(), transcript(t, answers(map[string]string{"AT+CEREG?": "\r\n+CEREG: 3,3,,,,0,15\r\n\r\nOK\r\n", "AT+CREG?": "\r\n+CREG: 0,2\r\n\r\nOK\r\n",
			"AT+CEER": "\r\n+CEER: No cause information available\r\n\r\nOK\r\n"})), Config{})
		if err != nil || r.Registration != RegDenied || r.Bearer.Cause != "15" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestDialUpVisit(t *testing.T) {
	for _, c := range []struct {
		name  string
		table map[string]string
		want  Line
	}{
		{"no such command", map[string]string{"AT#UD": "\r\nERROR\r\n"}, Line{}},
		{"no call yet", map[string]string{"AT#UD": "\r\nDIAG <2A4D3263 0=10>\r\nDIAG <2A4D3263 1=0>\r\n\r\nOK\r\n"}, Line{Told: true}},
		{"busy", map[string]string{"AT#UD": "\r\nDIAG <2A4D3263 0=10 1=3 60=1>\r\n\r\nOK\r\n"}, Line{Last: "busy", Told: true}},
		{"heard in passing", map[string]string{"AT+GMI": "\r\nNO DIALTONE\r\n\r\nACME\r\n\r\nOK\r\n", "AT#UD": "\r\nDIAG <2A4D3263 1=7>\r\n\r\nOK\r\n"}, Line{Last: "no-dialtone", Told: true}},
		{"an isomodem", map[string]string{"AT+GMI": "\r\nSilicon Labs\r\n\r\nOK\r\n", "AT:R6C": "\r\nD000\r\n\r\nOK\r\n", "AT#UD": "\r\nERROR\r\n"}, Line{Volts: 48, VoltsKnown: true}},
		{"another chip is not asked for volts", map[string]string{"AT:R6C": "\r\nD000\r\n\r\nOK\r\n", "AT#UD": "\r\nERROR\r\n"}, Line{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := map[string]string{"AT+CGMI": "\r\nERROR\r\n", "AT+CGMM": "\r\nERROR\r\n", "AT+CGMR": "\r\nERROR\r\n"}
				for k, v := range c.table {
					table[k] = v
				}
				last := ""
				talk := answers(table)
				r, err := Ask(t.Context(), transcript(t,
					func(line string, say func(string, time.Duration)) { last = line; talk(line, say) }), Config{DialUp: true})
				if err != nil || r.Line != c.want {
					t.Errorf("%+v, %v; want %+v", r.Line, err, c.want)
				}
				if last != "AT#UD" {
					t.Errorf("the last word was %q", last)
				}
			})
		})
	}
}

// nasty is a modem whose every answer is another trouble.
func nasty(rnd *rand.Rand) func(string, func(string, time.Duration)) {
	good := map[string]string{"AT": "", "AT+CGMI": "Quectel", "AT+CGMM": "EC25", "AT+CSQ": "+CSQ: 18,99", "AT+CPIN?": "+CPIN: READY", "AT+CEREG?": "+CEREG: 0,1",
		"AT+CGATT?": "+CGATT: 1", "AT+CGACT?": "+CGACT: 1,1"}
	var free time.Time // modems answer in the order in which they are asked: one that is late is late for all
	return func(line string, tell func(string, time.Duration)) {
		say := func(s string, after time.Duration) {
			if free = free.Add(time.Microsecond); time.Now().Add(after).After(free) {
				free = time.Now().Add(after)
			}
			tell(s, time.Until(free))
		}
		answer := "\r\n" + good[line] + "\r\n\r\nOK\r\n"
		switch rnd.IntN(60) {
		case 0: // rubbish
			b := make([]byte, rnd.IntN(600))
			for i := range b {
				b[i] = byte(rnd.UintN(256))
			}
			say(string(b), 0)
		case 1: // a flood
			for range rnd.IntN(50) {
				say("\r\n+CREG: 1\r\nRING\r\n^RSSI: 18\r\n", 0)
			}
			say(answer, 0)
		case 2: // echo twice
			say(line+"\r"+line+"\r"+answer, 0)
		case 3: // dies in the middle
			say(answer[:rnd.IntN(len(answer))], 0)
		case 4: // late
			say(answer, time.Duration(rnd.IntN(4000))*time.Millisecond)
		case 5: // mute
		case 6: // refuses
			say("\r\n+CME ERROR: "+[]string{"10", "SIM busy", "-1", ""}[rnd.IntN(4)]+"\r\n", 0)
		default:
			say(answer, 0)
		}
	}
}

// Whatever a modem does, a visit ends within its bound, leaves no goroutine, and says nothing that was not said.
func TestNastyModems(t *testing.T) {
	const cycles = 10_000
	before := runtime.NumGoroutine()
	spent := map[string]int{}
	for i := range cycles {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			r, err := Ask(ctx, transcript(t, nasty(rand.New(rand.NewPCG(uint64(i), 7)))), Config{APN: "cmiot", Samples: 2})
			if took := time.Since(start); took > 5*time.Second+partingLimit {
				t.Errorf("seed %d: %v", i, took)
			}
			switch {
			case r.SIM != SIMUnknown && r.SIM != SIMReady && r.SIM != SIMMissing, r.Registration != "" &&
				r.Registration != RegHome && r.Registration != RegUnknown,
				len(r.Signals) > 0 && r.Signals[0].RSSI != -77 && r.Signals[0].RSSI != NoValue, r.Model != "" &&
					r.Model != "EC25" && r.Lost == 0:
				t.Errorf("seed %d: %+v", i, r)
			}
			switch {
			case err == nil:
				spent["answered"]++
			case errors.Is(err, serial.ErrIdle):
				spent["silent"]++
			case errors.Is(err, serial.ErrGarbled):
				spent["garbled"]++
			case errors.Is(err, context.DeadlineExceeded):
				spent["out of time"]++
			default:
				t.Errorf("seed %d: no name for %v", i, err)
			}
		})
	}
	for n := 0; runtime.NumGoroutine() > before; n++ {
		if n > 1e7 {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
		runtime.Gosched()
	}
	t.Logf("%d visits: %v", cycles, spent)
	if spent["answered"] == 0 || spent["silent"]+spent["garbled"] == 0 {
		t.Errorf("the modems were not nasty, or too nasty: %v", spent)
	}
}

// A sale may begin at any moment of a visit: it waits for no more than the last word.
func TestCancelledWithin100ms(t *testing.T) {
	for i := range 200 {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(i), 8))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var at time.Time
			time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Millisecond, func() { at = time.Now(); cancel() })
			Ask(ctx, transcript(t, nasty(rnd)), Config{Samples: 3})
			if took := time.Since(at); !at.IsZero() && took > 100*time.Millisecond {
				t.Errorf("seed %d: %v after the sale began", i, took)
			}
		})
	}
}
