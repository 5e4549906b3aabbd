package console

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
)

// lending is a line that remembers the buffers it was asked to fill.
type lending struct {
	io.ReadWriter
	mu   sync.Mutex
	lent [][]byte
}

func (l *lending) Read(p []byte) (int, error) {
	l.mu.Lock()
	l.lent = append(l.lent, p)
	l.mu.Unlock()
	return l.ReadWriter.Read(p)
}

// TestWhatIsTypedIsZeroed: a card that a reader types like a keyboard, into any page, is in no buffer any more once
// it has been taken as keys, nor when the session ends in the middle of it.
func TestWhatIsTypedIsZeroed(t *testing.T) {
	const card = "%B4761739001010010^CARD/HOLDER^30122011758?;4761739001010010=30122011758?\r"
	for _, page := range []string{"", "2", "4", "8", "g"} {
		for _, ends := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				line := &lending{ReadWriter: near}
				term := &terminal{Conn: far, column: 4}
				go term.run()
				ctx, stop := context.WithCancel(t.Context())
				over := make(chan error, 1)
				c := Console{Backend: &fakeBackend{}, Knowledge: know, Lang: "en"}
				go func() { over <- c.Run(ctx, line) }()
				synctest.Wait()
				io.WriteString(term, page)
				synctest.Wait()
				if ends {
					stop()
				}
				go io.WriteString(term, card) // of which nobody may want the rest
				synctest.Wait()
				stop()
				near.Close()
				far.Close()
				<-over
				synctest.Wait()
				line.mu.Lock()
				defer line.mu.Unlock()
				for _, b := range line.lent {
					if at := bytes.IndexAny(b, "0123456789^%="); at >= 0 {
						t.Errorf("page %q, ended %v: left in a buffer: %q", page, ends, b)
					}
				}
			})
		}
	}
}
