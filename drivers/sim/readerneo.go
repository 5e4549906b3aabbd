package sim

import (
	"context"
	"io"
	"sync"

	"posdx/drivers/reader"
)

// NEOState is the state of a simulated ID TECH reader and its faults.
type NEOState struct {
	Firmware string
	Silent   bool
	Tampered bool   // its case was opened
	Insecure bool   // its secure interface has failed
	Refuses  bool   // answers every question with an error, and says of nothing that it is well
	Swapped  bool   // check sums in the other order, as some firmware has them
	Check    []byte // what its self-check found, source by source; nil for firmware that does not know the question
}

// A NEOReader is an ID TECH reader that speaks ViVOtech2. Its methods may be called from any goroutine.
type NEOReader struct {
	mu    sync.Mutex
	state NEOState
	asked map[byte]uint64
	out   io.Writer
}

// NewNEOReader makes a healthy reader.
func NewNEOReader() *NEOReader {
	return &NEOReader{state: NEOState{Firmware: "NEO v1.00.043"}, asked: map[byte]uint64{}}
}

// Change changes the state of a reader.
func (r *NEOReader) Change(f func(*NEOState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.state)
}

// Asked is how many commands of a kind have come.
func (r *NEOReader) Asked(command byte) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[command]
}

// Boot sends, unasked, that the reader has started, as after a dip of its supply.
func (r *NEOReader) Boot() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.out != nil {
		r.out.Write(reader.NEOFrame(nil, reader.NEOMessage{Command: reader.NEOBooted, Status: 0x01}, true))
	}
}

// Serve answers commands until the line or the context ends.
func (r *NEOReader) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	r.mu.Lock()
	r.out = rw
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.out = nil
	}()
	var dec reader.NEODecoder
	return serve(ctx, rw, func(c byte) []byte {
		if token, m, ok := dec.Push(c); ok && token == reader.TokenMessage {
			return r.answer(m)
		}
		return nil
	})
}

func (r *NEOReader) answer(m reader.NEOMessage) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Silent {
		return nil
	}
	r.asked[m.Command]++
	a := reader.NEOMessage{Command: m.Command, Status: reader.NEOOk}
	switch {
	case r.state.Refuses:
		a.Status = 0x0B // request for online authorisation cannot be made: any error will do
	case r.state.Tampered:
		a.Status = reader.NEOTamper
	case r.state.Insecure:
		a.Status = reader.NEOInsecure
	case m.Command == reader.NEOVersion && m.Status == 0x00:
		a.Data = []byte(r.state.Firmware)
	case m.Command == reader.NEOState && m.Status == 0x3A && r.state.Check != nil:
		a.Data = r.state.Check
	case m.Command != reader.NEOPing:
		a.Status = 0x02 // unknown command
	}
	return reader.NEOFrame(nil, a, !r.state.Swapped)
}
