package zmodem

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// receive starts rz in a folder and returns the two ways to it. change may spoil a byte that goes to it.
func receive(t *testing.T, dir string, args []string, change func(n int64, b []byte)) (w io.Writer, in <-chan []byte,
	over func() error) {
	t.Helper()
	if _, err := exec.LookPath("rz"); err != nil {
		t.Skip("needs rz (Debian package lrzsz)")
	}
	c := exec.Command("rz", append([]string{"--quiet", "--binary"}, args...)...)
	c.Dir = dir
	c.Stderr = os.Stderr
	to, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	from, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ch := make(chan []byte)
	go func() {
		defer close(ch)
		for {
			b := make([]byte, 64)
			n, err := from.Read(b)
			if n > 0 {
				ch <- b[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		to.Close()
		c.Process.Kill()
		for range ch {
		}
	})
	var sent atomic.Int64
	return writerFunc(func(b []byte) (int, error) {
			b = bytes.Clone(b)
			change(sent.Add(int64(len(b))), b)
			return to.Write(b)
		}), ch, func() error {
			to.Close()
			go func() {
				for range ch {
				}
			}()
			return c.Wait()
		}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func noise(int64, []byte) {}

// The real rz gets every byte: of all values, empty, one packet to the byte, and over a line that spoils some.
func TestRealRZGetsEveryByte(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	var all []byte
	for i := range 256 {
		all = append(all, byte(i), byte(i), '@', '\r')
	}
	for name, c := range map[string]struct {
		data   []byte
		args   []string
		change func(int64, []byte)
	}{
		"empty":    {nil, nil, noise},
		"packet":   {random(packet), nil, noise},
		"values":   {all, nil, noise},
		"controls": {all, []string{"--escape"}, noise},
		"large":    {random(300 << 10), nil, noise},
		"spoilt": {random(60 << 10), nil, func(n int64, b []byte) { // every tenth packet or so
			if len(b) > 500 && rnd.IntN(10) == 0 {
				b[rnd.IntN(len(b))] ^= 0x55
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w, in, over := receive(t, dir, c.args, c.change)
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
			defer stop()
			if err := Send(ctx, w, in, "../../posdx t1.zip", time.Unix(1.7e9, 0), c.data, 20*time.Second); err != nil {
				t.Fatal(err)
			}
			if err := over(); err != nil {
				t.Errorf("rz: %v", err)
			}
			got, err := os.ReadFile(filepath.Join(dir, ".._.._posdx_t1.zip"))
			if err != nil || !bytes.Equal(got, c.data) {
				list, _ := os.ReadDir(dir)
				t.Errorf("%v: %d bytes came of %d; %v", err, len(got), len(c.data), list)
			}
		})
	}
}

// Who does not receive, cancels or hangs up ends it, and nothing waits for ever.
func TestNobodyReceives(t *testing.T) {
	in := make(chan []byte, 4)
	for _, c := range []struct {
		name string
		sent []byte
		want error
	}{
		{"silence", nil, ErrNoReceiver}, {"a person types", []byte("what is this? *\x18B zz **\x18B0100"), ErrNoReceiver}, {"cancelled", []byte("\x18\x18\x18\x18\x18 and goes on"), ErrCancelled},
	} {
		if c.sent != nil {
			in <- c.sent
		}
		var said bytes.Buffer
		if err := Send(t.Context(), &said, in, "x", time.Now(), []byte("x"), 50*time.Millisecond); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if !bytes.Contains(said.Bytes(), []byte("\x18\x18\x18\x18\x18")) {
			t.Errorf("%s: the other side is not told: %q", c.name, said.Bytes())
		}
		if len(bytes.Trim(c.sent, "\x00")) > 0 {
			t.Errorf("%s: %q is left in memory, where a card may have been swiped", c.name, c.sent)
		}
	}
	close(in)
	if err := Send(t.Context(), io.Discard, in, "x", time.Now(), nil, time.Second); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("hung up: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := Send(ctx, io.Discard, make(chan []byte), "x", time.Now(), nil, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// FuzzReceiver is a receiver that says anything: it ends, without a panic.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte("**\x18B0100000023be50\r\x8a\x11**\x18B0900000000a87c\r\x8a\x11"))
	f.Add([]byte("**\x18B09ffffffff0000\r\n*\x18A\x18\x18\x18\x18\x18"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := make(chan []byte, 1)
		in <- b
		close(in)
		Send(t.Context(), io.Discard, in, "x", time.Unix(0, 0), []byte("data"), time.Second)
	})
}
