package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"posdx/drivers/frame"
	"posdx/firmware-build/housetest"
)

// zvtFrame puts a command of ZVT into a frame of its serial line (PA00P016, chapter 2).
func zvtFrame(apdu string) []byte {
	out, sum := []byte{0x10, 0x02}, uint16(0)
	for i := range len(apdu) {
		if sum = frame.CRC16Reflected(sum, apdu[i]); apdu[i] == 0x10 {
			out = append(out, 0x10)
		}
		out = append(out, apdu[i])
	}
	sum = frame.CRC16Reflected(sum, 0x03)
	return append(out, 0x10, 0x03, byte(sum), byte(sum>>8))
}

// TestASaleThatIsCalledOffIsStillASale: a terminal takes the register's wish to call a sale off, and goes on: the
// card is in, and nobody's check touches a device before the terminal itself has said how it ended. By RevZero/zvtlib
// #2 and prosoftgmbh/zvt #1 (06 B0 is taken, the command ends by itself), stripe/stripe-terminal-ios #175 (called
// off, confirmed, and busy still) and VivaPayments/API #2422 and #2434 (200 to the abort, the payment goes on).
func TestASaleThatIsCalledOffIsStillASale(t *testing.T) {
	const sale, callOff, taken = "\x06\x01\x07\x04\x00\x00\x00\x00\x01\x90", "\x06\xB0\x00", "\x80\x00\x00"
	for name, c := range map[string]struct {
		register, terminal []string // what is said after the sale has begun, and while it goes on
		ends               string   // by the terminal
	}{
		"the abort is taken":              {[]string{callOff}, []string{taken}, "\x06\x1E\x01\x6C"},
		"it is called off again":          {[]string{callOff, callOff}, []string{taken, taken}, "\x06\x1E\x01\x6C"},
		"too late, the sale goes through": {[]string{callOff}, []string{taken, "\x04\xFF\x01\x0E"}, "\x04\x0F\x02\x27\x00"},
		"the register asks how it is":     {[]string{"\x05\x01\x03\x00\x00\x00"}, []string{"\x84\x9C\x00"}, "\x06\x1E\x01\x6C"},
	} {
		reader := newMute(t)
		fromTerminal, rx := housetest.TTY(t)
		fromRegister, rx2 := housetest.TTY(t)
		waiting, waiting2 := unread(t, rx), unread(t, rx2)
		dir := t.TempDir()
		client, stop := startIn(t, parsed(t, dir, fmt.Sprintf("[[ecr]]\nname = \"ecr0\"\nframing = \"zvt\"\nrx = [%q, %q]\nbaud = 9600\n[[reader]]\nname = \"reader0\"\nport = %q\nprotocol = \"ccid\"\n", rx, rx2, reader.port)))
		inSale := func() bool {
			s, err := client.State(t.Context())
			return err == nil && s.InSale
		}
		housetest.Until(t, name+": the sale is heard", func() bool {
			fromRegister.Write(zvtFrame(sale))
			time.Sleep(20 * time.Millisecond) // the pace of the link: the frame is read before it is sent again
			return inSale()
		})
		say := func(far *os.File, list []string) {
			for _, apdu := range list {
				far.Write(zvtFrame(apdu))
			}
		}
		read := func() bool { return waiting() == 0 && waiting2() == 0 }
		say(fromRegister, c.register)
		housetest.Until(t, name+": the register is heard", read)
		time.Sleep(50 * time.Millisecond) // a terminal does not answer before it was asked
		say(fromTerminal, c.terminal)
		housetest.Until(t, name+": the terminal is heard", read)
		for range 5 { // what was read is understood at once; a wrong end would show
			if !inSale() {
				t.Errorf("%s: the sale is thought to be over", name)
			}
		}
		code, out, talk := cli(t, "check", "--config", dir+"/posdx.toml", "--lang", "en", "reader.port")
		if code != exitNotRun || !strings.Contains(out+talk, "a sale is running") || reader.heard.Load() > 0 {
			t.Errorf("%s: posdx check: exit %d, %d bytes to the reader, %s%s", name, code, reader.heard.Load(), out, talk)
		}
		housetest.Until(t, name+": it ends", func() bool {
			say(fromTerminal, []string{c.ends})
			time.Sleep(20 * time.Millisecond) // the pace of the link: the frame is read before it is sent again
			return !inSale()
		})
		stop()
	}
}

func parsed(t *testing.T, dir, more string) config {
	t.Helper()
	file := configured(t, dir, more)
	c, _, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// unread opens a port, before anybody opens it exclusively, and returns what says how many bytes wait in it.
func unread(t *testing.T, port string) func() int {
	t.Helper()
	f, err := os.OpenFile(port, os.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func() int {
		n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}
