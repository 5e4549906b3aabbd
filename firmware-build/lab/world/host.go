package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"posdx/drivers/ecr"
)

// HostState is how an acquirer's host behaves; all of it may change while it runs.
type HostState struct {
	SignIn string        // field 39 of the answer to a sign-in, "00" if empty
	Sale   string        // of the answer to a sale
	Delay  time.Duration // before each answer
	Silent bool          // takes the request and never answers
	Reset  bool          // takes the request and resets the connection
	Half   bool          // sends half of the answer, then ends the connection
}

// A Host is an acquirer's host: ISO 8583 over a stream, with TPDU. It decodes requests with package ecr, so it gets no
// card data. Its methods may be called from any goroutine.
type Host struct {
	dialect *ecr.Dialect
	length  ecr.LengthHeader

	mu    sync.Mutex
	state HostState
	asked map[string]int
	next  int
}

// NewHost makes a host that approves everything.
func NewHost(d *ecr.Dialect, l ecr.LengthHeader) *Host {
	return &Host{dialect: d, length: l, asked: map[string]int{}}
}

// Change changes how the host behaves.
func (h *Host) Change(f func(*HostState)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.state)
}

// Asked is how many requests of a message type have come.
func (h *Host) Asked(mti string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[mti]
}

// hostConns bounds the connections of one listener: a terminal holds one.
const hostConns = 64

// Serve answers on a listener until the context ends or the listener fails; it closes the listener.
func (h *Host) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, hostConns)
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { c.Close(); <-slots }()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			_ = h.talk(ctx, c) // the other side sees what went wrong
		})
	}
}

var errHangUp = errors.New("host hangs up")

func (h *Host) talk(ctx context.Context, c net.Conn) error {
	for {
		b, err := h.length.Read(c)
		if err != nil {
			return err
		}
		m, err := ecr.Parse(b, h.dialect)
		if err != nil {
			return err
		}
		h.mu.Lock()
		s := h.state
		h.asked[m.MTI]++
		h.next++
		number := h.next
		h.mu.Unlock()
		if s.Silent {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.Delay):
		}
		answer, err := h.answer(m, s, number)
		if err != nil {
			return err
		}
		switch {
		case s.Reset:
			linger(c)
			return errHangUp
		case s.Half:
			c.Write(answer[:len(answer)/2])
			return errHangUp
		}
		if _, err := c.Write(answer); err != nil {
			return err
		}
	}
}

// linger makes Close send a reset, also below TLS.
func linger(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
}

// answer builds the answer of a host as the UnionPay POS specification lays it out, without the fields that would have
// to repeat card or amount.
func (h *Host) answer(m ecr.Message, s HostState, number int) ([]byte, error) {
	if m.MTI == "" || m.Response() {
		return nil, fmt.Errorf("answer %q: want a request", m.MTI)
	}
	now := time.Now()
	code := s.Sale
	f := map[int]string{
		11: m.STAN, 12: now.Format("150405"), 13: now.Format("0102"), 32: "48021000",
		37: fmt.Sprintf("%s%06d", now.Format("060102"), number%1e6), 41: pad(m.Terminal, 8), 42: "898330154110012",
	}
	switch m.MTI {
	case "0800":
		code = s.SignIn
		f[60] = "00000001003"
		f[62] = strings.Repeat("\xA5", 40) // working keys under the master key: noise here
	default:
		f[3], f[25], f[49] = m.Processing, "00", "156"
		f[15] = now.Format("0102")
		f[44] = "48021000   48021000   "
		f[60] = "22000001000"
		f[64] = "\xA0\xA1\xA2\xA3\xA4\xA5\xA6\xA7"
		if m.Reversal() {
			code = "00"
		}
	}
	if code == "" {
		code = "00"
	}
	f[39] = code
	mti := []byte(m.MTI)
	mti[2]++
	b, err := ecr.Build(h.dialect, ecr.Head{TPDU: m.TPDU, Header: "602200000000"}.Reversed(), string(mti), f)
	if err != nil {
		return nil, err
	}
	return h.length.Append(nil, b), nil
}

func pad(s string, n int) string { return fmt.Sprintf("%-*s", n, s) }
