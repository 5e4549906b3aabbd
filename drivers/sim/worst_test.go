package sim

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"posdx/drivers/frame"
	"posdx/drivers/frame/frametest"
	"posdx/drivers/pinpad"
	"posdx/drivers/printer"
	"posdx/drivers/reader"
	"posdx/drivers/serial"
)

// Ten thousand visits to devices at their worst: every one ends with a named outcome, within its time, and leaves no
// goroutine behind (a bubble that ends with one panics). Short runs, as on an emulator, do a tenth.
func TestTheWorstDevices(t *testing.T) {
	visits := 10_000
	if testing.Short() {
		visits = 1000
	}
	outcomes := map[string]int{}
	asks := []struct {
		name   string
		answer []byte // what a sound one says to whatever it is asked, more or less
		ask    func(context.Context, serial.Link) error
	}{
		{"ccid", reader.Frame(reader.Frame(nil, reader.Message{Type: reader.GetSlotStatus}),
			reader.Message{Type: reader.SlotStatus}), func(ctx context.Context, l serial.Link) error {
			_, err := reader.AskCCID(ctx, l, reader.CCIDConfig{})
			return err
		}},
		{"neo", reader.NEOFrame(nil, reader.NEOMessage{Command: reader.NEOPing}, true),
			func(ctx context.Context, l serial.Link) error { _, err := reader.AskNEO(ctx, l); return err }},
		{"abecs", frame.ABECSFrame([]byte{0x06}, []byte("GIX000012\x80\x03\x00\x08PP2000;8")), func(ctx context.Context, l serial.Link) error {
			_, err := pinpad.Ask(ctx, l)
			return err
		}},
		{"crt310", reader.CRTFrame([]byte{0x06}, reader.CRT310, 0, []byte("\x31\x30\x4E\x49\x4A")), func(ctx context.Context, l serial.Link) error {
			_, err := reader.AskCRT(ctx, l, reader.CRT310, 0)
			return err
		}},
		{"crt591", reader.CRTFrame([]byte{0x06}, reader.CRT591, 0, []byte("P\x31\x30000")), func(ctx context.Context, l serial.Link) error {
			_, err := reader.AskCRT(ctx, l, reader.CRT591, 0)
			return err
		}},
		{"itp", reader.ITPFrame([]byte{0x06}, []byte("ID TECH V 3.19")), func(ctx context.Context, l serial.Link) error {
			_,
				err := reader.AskITP(ctx, l)
			return err
		}},
		{"printer", []byte{0x12}, func(ctx context.Context, l serial.Link) error { _, err := printer.Ask(ctx, l); return err }},
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range visits {
		a := asks[i%len(asks)]
		synctest.Test(t, func(t *testing.T) {
			seed := random.Uint64()
			host, stop := frametest.Answering(worst(a.answer, seed))
			defer stop()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			start := time.Now()
			if seed%7 == 0 { // a sale begins in between
				time.AfterFunc(time.Duration(seed%1500)*time.Millisecond, cancel)
			}
			if seed%11 == 0 { // the plug comes out
				time.AfterFunc(time.Duration(seed%900)*time.Millisecond, func() { host.Close() })
			}
			err := a.ask(ctx, host)
			if took := time.Since(start); took > 4*time.Second {
				t.Fatalf("%s, seed %d: took %v", a.name, seed, took)
			}
			what := outcome(err)
			if what == "" {
				t.Fatalf("%s, seed %d: %v", a.name, seed, err)
			}
			outcomes[a.name+" "+what]++
		})
	}
	t.Log(outcomes)
	for _, a := range asks { // the test tests something
		for _, what := range []string{"garbled", "cancelled", "closed"} {
			if outcomes[a.name+" "+what] == 0 {
				t.Errorf("%s was never %s", a.name, what)
			}
		}
	}
}

// worst makes a device that does everything wrong now and then: says nothing, says half and no more, garbles, repeats,
// never stops for a while.
func worst(answer []byte, seed uint64) func([]byte) []byte {
	random := rand.New(rand.NewPCG(seed, 9))
	return func([]byte) []byte {
		out := append([]byte(nil), answer...)
		switch random.UintN(7) {
		case 0:
			return nil
		case 1:
			return out[:random.IntN(len(out))]
		case 2:
			out[random.IntN(len(out))] ^= 1 << random.UintN(8)
		case 3:
			for range random.UintN(30) {
				out = append(out, answer...)
			}
		case 4:
			out = make([]byte, 2*frame.BytesMax)
			for i := range out {
				out[i] = byte(random.Uint32())
			}
		case 5:
			out = append([]byte{byte(random.Uint32()), byte(random.Uint32())}, out...)
		}
		return out
	}
}

// outcome is the name of what a visit ended with, "" for one that has none.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, serial.ErrGarbled):
		return "garbled"
	case errors.Is(err, serial.ErrIdle):
		return "silent"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "late"
	case errors.Is(err, io.ErrClosedPipe), errors.Is(err, io.EOF):
		return "closed"
	}
	return ""
}

// A sale that starts ends every question at once, whatever the device, and no question of an earlier one is left
// waiting.
func TestEveryQuestionObeysItsContext(t *testing.T) {
	for name, ask := range map[string]func(context.Context, serial.Link) error{
		"ccid": func(ctx context.Context, l serial.Link) error {
			_, err := reader.AskCCID(ctx, l, reader.CCIDConfig{})
			return err
		},
		"neo":     func(ctx context.Context, l serial.Link) error { _, err := reader.AskNEO(ctx, l); return err },
		"abecs":   func(ctx context.Context, l serial.Link) error { _, err := pinpad.Ask(ctx, l); return err },
		"printer": func(ctx context.Context, l serial.Link) error { _, err := printer.Ask(ctx, l); return err },
		"itp":     func(ctx context.Context, l serial.Link) error { _, err := reader.AskITP(ctx, l); return err },
		"crt310": func(ctx context.Context, l serial.Link) error {
			_, err := reader.AskCRT(ctx, l, reader.CRT310, 0)
			return err
		},
		"crt591": func(ctx context.Context, l serial.Link) error {
			_, err := reader.AskCRT(ctx, l, reader.CRT591, 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Noise and half a frame: cut short, that is no garbled line.
				half := map[string]string{"ccid": "?\x03\x06\x81", "neo": "?ViVO", "abecs": "?\x16GIX", "itp": "?\x02ID", "crt310": "?\x02\x00", "crt591": "?\xF2\x00", "printer": "?"}[name]
				host, stop := frametest.Answering(func([]byte) []byte { return []byte(half) })
				defer stop()
				ctx, cancel := context.WithCancel(t.Context())
				start := time.Now()
				time.AfterFunc(30*time.Millisecond, cancel)
				if err := ask(ctx, host); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if took := time.Since(start); took != 30*time.Millisecond { // the bubble's clock is exact
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
