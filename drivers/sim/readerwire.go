package sim

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"

	"posdx/drivers/reader"
)

// A Wire is a line between two other programs or devices: what is written to it appears on the tty, and what comes from
// the tty is discarded. Its methods may be called from any goroutine.
type Wire struct {
	mu   sync.Mutex
	out  io.Writer
	once sync.Once
	up   chan struct{} // closed when it is first plugged in
}

// NewWire makes a quiet wire.
func NewWire() *Wire { return &Wire{up: make(chan struct{})} }

// Serve passes bytes until the line or the context ends.
func (w *Wire) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	stop := context.AfterFunc(ctx, func() { rw.Close() })
	defer stop()
	w.mu.Lock()
	w.out = rw
	w.mu.Unlock()
	w.once.Do(func() { close(w.up) })
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.out = nil
	}()
	_, err := io.Copy(io.Discard, struct{ io.Reader }{rw}) // by its Read, which waits while nobody has the tty open
	return err
}

// Write puts bytes on the wire, once it has been plugged in.
func (w *Wire) Write(b []byte) (int, error) {
	<-w.up
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		return 0, errors.New("wire: not plugged in any more")
	}
	return w.out.Write(b)
}

// A StripeReader is a plain reader of magnetic stripes: it sends what it read and nothing else.
type StripeReader struct {
	*Wire
	rand *rand.Rand
	// Dirty is how many cards it cannot read on each track, 0 to 1.
	Dirty [3]float64
	// Frame is put around each swipe, as MagTek's readers can; "" for a carriage return behind it.
	Frame string
}

// NewStripeReader makes a reader with clean heads. The seed decides which cards a dirty one misses.
func NewStripeReader(seed uint64) *StripeReader {
	return &StripeReader{Wire: NewWire(), rand: rand.New(rand.NewPCG(seed, 3))}
}

// Swipe passes a card through the reader and returns whether track 2, which payments are made of, was read, or track 1.
// The number of the card is the example of the ISO standard.
func (s *StripeReader) Swipe() (read bool, err error) {
	tracks := []struct{ good, bad string }{
		{"%B4111111111111111^TEST/CARD^25121010000000000000?", "%E?"},
		{";4111111111111111=25121010000000000000?", ";E?"},
		{"+011234567890123456789?", "+E?"},
	}
	text := ""
	for i, t := range tracks {
		if s.rand.Float64() < s.Dirty[i] {
			text += t.bad
			continue
		}
		read = read || i < 2
		text += t.good
	}
	text += "\r"
	if s.Frame != "" {
		text = s.Frame[:1] + text + s.Frame[1:]
	}
	_, err = s.Write([]byte(text))
	return read, err
}

// Sale puts on w what passes between a payment application and the reader when a customer inserts a card: what the
// reader sends, its echoes included, on the first, and what it is sent on the second, if that is not nil. It says
// whether the card was read.
func (r *Reader) Sale(fromReader, toReader io.Writer) (read bool, err error) {
	read = r.Insert()
	dialogue := []reader.Message{
		{Type: reader.GetSlotStatus},
		{Type: reader.PowerOn},
		{Type: reader.Transfer, Data: []byte("\x00\xA4\x04\x00\x0E1PAY.SYS.DDF01\x00")},
		{Type: reader.Transfer, Data: []byte("\x80\xA8\x00\x00\x02\x83\x00\x00")},
		{Type: reader.Transfer, Data: []byte("\x00\xB2\x01\x0C\x00")},
		{Type: reader.Transfer, Data: []byte("\x80\xAE\x80\x00\x1D")},
		{Type: reader.PowerOff},
	}
	r.mu.Lock()
	r.state.Mute = r.state.Mute || !read
	mute := r.state.Mute
	r.mu.Unlock()
	var ears ccidEars
	for i, m := range dialogue {
		if mute && m.Type == reader.Transfer {
			continue
		}
		m.Seq = byte(i)
		frame := reader.Frame(nil, m)
		if toReader != nil {
			if _, err := toReader.Write(frame); err != nil {
				return read, err
			}
		}
		if _, err := fromReader.Write(r.hear(&ears, frame)); err != nil {
			return read, err
		}
	}
	r.mu.Lock()
	r.state.Mute = false
	r.mu.Unlock()
	r.Remove()
	_, err = fromReader.Write([]byte(reader.CardAbsent))
	return read, err
}
