package modemmanager

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// The part of D-Bus (specification 0.43) that asks for properties: nothing here can call a method with other than text
// arguments, and manager.go calls three, all of which only read. The known library costs a terminal 262 kB.

const (
	busLimit    = 2 * time.Second // for all that is asked of a bus
	messageMax  = 1 << 18         // of one message; the list of a machine's modems takes 6 kB
	repliesMax  = 64              // messages that are not the answer awaited: signals
	nestingMax  = 32              // of containers
	typeReturn  = 2
	typeError   = 3
	lineMax     = 512 // of the greeting
	listMax     = 64  // words of one list
	noAutoStart = 2   // flag: a service that is not running stays so
)

// A bus is a connection to a message bus. One goroutine owns it.
type bus struct {
	conn   net.Conn
	serial uint32
}

// A busError is an error that the other side answered.
type busError struct{ name string }

func (e *busError) Error() string { return "D-Bus error " + strconv.Quote(e.name) }

var errWire = errors.New("malformed D-Bus message")

// dialBus connects to a bus by the path of its socket, as the user of this process. The connection ends with the
// context or after busLimit, or with close.
func dialBus(ctx context.Context, path string) (b *bus, close func(), err error) {
	dialer := net.Dialer{Timeout: busLimit}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, nil, err
	}
	end := time.Now().Add(busLimit)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	conn.SetDeadline(end)
	release := context.AfterFunc(ctx, func() { conn.Close() })
	close = func() { release(); conn.Close() }
	b = &bus{conn: conn}
	if err = b.greet(); err != nil {
		close()
		return nil, nil, err
	}
	return b, close, nil
}

// greet says who we are (SASL EXTERNAL) and enters the bus.
func (b *bus) greet() error {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Getuid())))
	if _, err := io.WriteString(b.conn, "\x00AUTH EXTERNAL "+uid+"\r\n"); err != nil {
		return err
	}
	var line []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(line), "\r\n"); line = append(line, one[0]) { // what follows is binary
		if _, err := io.ReadFull(b.conn, one); err != nil {
			return err
		}
		if len(line) > lineMax {
			return errWire
		}
	}
	if !strings.HasPrefix(string(line), "OK ") {
		return fmt.Errorf("enter bus: refused: %w", os.ErrPermission)
	}
	if _, err := io.WriteString(b.conn, "BEGIN\r\n"); err != nil {
		return err
	}
	_, err := b.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
	return err
}

// call calls a method with text arguments and returns the body of its answer.
func (b *bus) call(destination, path, iface, member string, args ...string) (wire, error) {
	b.serial++
	if _, err := b.conn.Write(callMessage(b.serial, destination, path, iface, member, args)); err != nil {
		return wire{}, err
	}
	for range repliesMax {
		m, err := readMessage(b.conn)
		if err != nil {
			return wire{}, err
		}
		switch {
		case m.replyTo != b.serial:
		case m.kind == typeError:
			return wire{}, &busError{m.errorName}
		case m.kind == typeReturn:
			return m.body, nil
		}
	}
	return wire{}, fmt.Errorf("no answer among %d messages: %w", repliesMax, errWire)
}

func callMessage(serial uint32, destination, path, iface, member string, args []string) []byte {
	le := binary.LittleEndian
	pad := func(m []byte, n int) []byte {
		for len(m)%n != 0 {
			m = append(m, 0)
		}
		return m
	}
	text := func(m []byte, s string) []byte {
		m = le.AppendUint32(pad(m, 4), uint32(len(s)))
		return append(append(m, s...), 0)
	}
	var body, fields []byte
	for _, a := range args {
		body = text(body, a)
	}
	for _, f := range []struct {
		code, kind byte
		value      string
	}{{1, 'o', path}, {2, 's', iface}, {3, 's', member}, {6, 's', destination}} {
		fields = append(pad(fields, 8), f.code, 1, f.kind, 0)
		fields = text(fields, f.value)
	}
	if len(args) > 0 {
		fields = append(pad(fields, 8), 8, 1, 'g', 0, byte(len(args)))
		fields = append(append(fields, strings.Repeat("s", len(args))...), 0)
	}
	m := []byte{'l', 1, noAutoStart, 1}
	m = le.AppendUint32(m, uint32(len(body)))
	m = le.AppendUint32(m, serial)
	m = le.AppendUint32(m, uint32(len(fields)))
	return append(pad(append(m, fields...), 8), body...)
}

// A message is what came over the bus.
type message struct {
	kind      byte
	replyTo   uint32
	errorName string
	body      wire
}

func readMessage(r io.Reader) (m message, err error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(r, head); err != nil {
		return m, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[0] == 'B' {
		order = binary.BigEndian
	}
	bodyLen, fieldsLen := order.Uint32(head[4:]), order.Uint32(head[12:])
	if bodyLen > messageMax || fieldsLen > messageMax {
		return m, fmt.Errorf("message of %d bytes: %w", uint64(bodyLen)+uint64(fieldsLen), errWire)
	}
	padded := int(fieldsLen+7) &^ 7
	all := make([]byte, 16+padded+int(bodyLen))
	copy(all, head)
	if _, err := io.ReadFull(r, all[16:]); err != nil {
		return m, err
	}
	m.kind = head[1]
	fields := wire{b: all[:16+int(fieldsLen)], at: 16, order: order}
	for fields.align(8); fields.more(); fields.align(8) {
		code := fields.byte()
		sig := fields.sig()
		switch {
		case code == 4 && sig == "s":
			m.errorName = fields.text()
		case code == 5 && sig == "u":
			m.replyTo = fields.u32()
		case code == 8 && sig == "g":
			m.body.signature = fields.sig()
		default:
			fields.skip(sig, 0)
		}
	}
	if fields.broken {
		return m, errWire
	}
	m.body.b, m.body.order = all[16+padded:], order
	return m, nil
}

// A wire is marshalled data with a place in it. After anything that does not fit it is broken, and all it says is zero.
type wire struct {
	b         []byte
	at        int
	order     binary.ByteOrder
	signature string // of a body; "" for data within one
	broken    bool
}

func (w *wire) more() bool { return !w.broken && w.at < len(w.b) }

// take steps over n bytes behind padding; nil if they are not there.
func (w *wire) take(align, n int) []byte {
	w.align(align)
	if w.broken || n < 0 || n > len(w.b)-w.at {
		w.broken = true
		return nil
	}
	w.at += n
	return w.b[w.at-n : w.at]
}

func (w *wire) align(n int) {
	if at := (w.at + n - 1) / n * n; at <= len(w.b) {
		w.at = at
	} else {
		w.at = len(w.b)
	}
}

func (w *wire) byte() byte {
	if b := w.take(1, 1); b != nil {
		return b[0]
	}
	return 0
}

func (w *wire) u32() uint32 {
	if b := w.take(4, 4); b != nil {
		return w.order.Uint32(b)
	}
	return 0
}

func (w *wire) text() string {
	n := w.u32()
	if n >= messageMax {
		w.broken = true
		return ""
	}
	b := w.take(1, int(n)+1)
	if b == nil {
		return ""
	}
	return string(b[:n])
}

func (w *wire) sig() string {
	n := int(w.byte())
	b := w.take(1, n+1)
	if b == nil {
		return ""
	}
	return string(b[:n])
}

// list reads the length of an array whose elements are aligned so, and returns where it ends.
func (w *wire) list(align int) (end int) {
	n := w.u32()
	w.align(align)
	if w.broken || uint64(n) > uint64(len(w.b)-w.at) {
		w.broken = true
		return w.at
	}
	return w.at + int(n)
}

// alignment of a type (specification, "Summary of types").
func alignment(kind byte) int {
	switch kind {
	case 'y', 'g', 'v':
		return 1
	case 'n', 'q':
		return 2
	case 'x', 't', 'd', '(', '{':
		return 8
	}
	return 4
}

// skip steps over one value of the first complete type of a signature and returns the rest of it.
func (w *wire) skip(sig string, depth int) (rest string) {
	if sig == "" || depth > nestingMax {
		w.broken = true
	}
	if w.broken {
		return ""
	}
	kind := sig[0]
	rest = sig[1:]
	switch kind {
	case 'y':
		w.take(1, 1)
	case 'n', 'q':
		w.take(2, 2)
	case 'b', 'i', 'u', 'h':
		w.take(4, 4)
	case 'x', 't', 'd':
		w.take(8, 8)
	case 's', 'o':
		w.text()
	case 'g':
		w.sig()
	case 'v':
		w.skip(w.sig(), depth+1)
	case 'a':
		n := complete(rest)
		if n == 0 {
			w.broken = true
			return ""
		}
		if end := w.list(alignment(rest[0])); !w.broken {
			w.at = end
		}
		return rest[n:]
	case '(', '{':
		w.align(8)
		for rest != "" && rest[0] != ')' && rest[0] != '}' && !w.broken {
			rest = w.skip(rest, depth+1)
		}
		if rest == "" {
			w.broken = true
			return ""
		}
		return rest[1:]
	default:
		w.broken = true
	}
	return rest
}

// complete is the length of the first complete type of a signature, 0 if there is none.
func complete(sig string) int {
	open := 0
	for i := range len(sig) {
		switch sig[i] {
		case 'a':
			continue
		case '(', '{':
			open++
		case ')', '}':
			open--
		}
		if open <= 0 {
			return i + 1
		}
	}
	return 0
}

// dict reads an array of dictionary entries with text keys and calls f at each value, whose type is sig; f may leave it
// unread.
func (w *wire) dict(sig string, f func(key string, at *wire)) {
	for end := w.list(8); w.at < end && !w.broken; {
		w.align(8)
		key := w.text()
		if w.broken {
			return
		}
		value := *w
		f(key, &value)
		w.skip(sig, 0)
	}
}

// properties reads a dictionary of variants. Those that f does not ask for are not decoded: some identify a subscriber.
func (w *wire) properties(f func(name string, v variant)) {
	w.dict("v", func(name string, at *wire) {
		v := variant{sig: at.sig(), wire: *at}
		if !at.broken {
			f(name, v)
		}
	})
}

// A variant is a value that brings its type. Asked for a type that it is not, it is zero.
type variant struct {
	sig string
	wire
}

func (v variant) word() string {
	if v.sig == "s" || v.sig == "o" {
		return v.text()
	}
	return ""
}

func (v variant) number() (float64, bool) {
	switch v.sig {
	case "b", "u":
		return float64(v.u32()), true
	case "i":
		return float64(int32(v.u32())), true
	case "d":
		if b := v.take(8, 8); b != nil {
			f := math.Float64frombits(v.order.Uint64(b))
			return f, !math.IsNaN(f) && !math.IsInf(f, 0)
		}
	}
	return 0, false
}

func (v variant) integer() int {
	n, _ := v.number()
	return int(n)
}

// words are the texts of a list of texts, of paths or of pairs that begin with a text.
func (v variant) words() (list []string) {
	kind, ok := strings.CutPrefix(v.sig, "a")
	if !ok || kind == "" || !strings.HasPrefix(strings.TrimPrefix(kind, "("), "s") && kind != "o" {
		return nil
	}
	for end := v.list(alignment(kind[0])); v.at < end && !v.broken && len(list) < listMax; {
		one := v.wire
		one.align(alignment(kind[0]))
		if s := one.text(); !one.broken {
			list = append(list, s)
		}
		v.skip(kind, 0)
	}
	return list
}

// pair is the content of a structure (ub) or (ss), as far as it is one.
func (v variant) pair() (n uint32, flag bool, first string) {
	v.align(8)
	switch v.sig {
	case "(ub)":
		n = v.u32()
		flag = v.u32() == 1
	case "(ss)":
		first = v.text()
	}
	return n, flag, first
}

func (v variant) properties(f func(name string, v variant)) {
	if v.sig == "a{sv}" {
		v.wire.properties(f)
	}
}
