package ingest

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/net/proxy"
)

const (
	wireIn  = 64 << 10 // read at once
	wireOut = 64 << 10 // may wait to be written; more makes the client wait
)

// A wire is a connection that is read and written in large pieces. The client library reads each packet in four small
// pieces and writes each acknowledgement by itself; in a flood that is most of what the kernel does for it.
//
// It also keeps the session alive while nobody reads. The client library asks the broker whether it is there and ends
// the session if no answer is read in time; but when the store is away, what came before the answer is not read
// either, and the broker hears nothing more. So the wire asks, and only one who reads waits for an answer.
type wire struct {
	net.Conn
	in    *bufio.Reader
	alive time.Duration // the session's keep-alive (MQTT 3.1.1, 3.1.2.10); 0: none
	ask   *time.Timer   // asks when nothing was written for half of that

	mu     sync.Mutex
	until  time.Time // the reader's own deadline
	moved  sync.Cond // out or closed changed
	out    []byte    // waits to be written
	err    error     // of the last write; the connection is over
	closed bool
	done   chan struct{}
}

func newWire(c net.Conn, alive time.Duration) *wire {
	w := &wire{Conn: c, alive: alive, done: make(chan struct{})}
	w.in = bufio.NewReaderSize(waiting{w}, wireIn)
	w.moved.L = &w.mu
	w.ask = time.AfterFunc(time.Hour, w.ping)
	w.ask.Stop() // until something was written: a session begins with CONNECT
	go w.flush()
	return w
}

// pingreq is the packet that asks the broker whether it is there (MQTT 3.1.1, 3.12).
var pingreq = []byte{0xC0, 0}

// ping asks the broker whether it is there.
func (w *wire) ping() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.closed {
		return
	}
	if len(w.out) == 0 {
		w.out = append(w.out, pingreq...)
		w.moved.Broadcast()
	}
	w.ask.Reset(w.alive / 2)
}

// waiting reads from a wire's connection, and says that it is dead if nothing comes for half as long again as a broker
// has for the answer to a ping.
type waiting struct{ *wire }

func (w waiting) Read(p []byte) (int, error) {
	w.mu.Lock()
	own := !w.until.IsZero()
	w.mu.Unlock()
	if !own && w.alive > 0 {
		w.Conn.SetReadDeadline(time.Now().Add(w.alive * 3 / 2)) // fails only with the connection, and then so does the read
	}
	return w.Conn.Read(p)
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.in.Read(p)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.err != nil { // the connection was closed since it could not be written: that is what happened
			err = w.err
		}
	}
	return n, err
}

// Write takes p; an error of the connection comes with a later call, and with Read.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.out) >= wireOut && w.err == nil && !w.closed {
		w.moved.Wait()
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case w.closed:
		return 0, net.ErrClosed
	}
	w.out = append(w.out, p...)
	w.moved.Broadcast()
	return len(p), nil
}

// flush writes what waits until the connection is closed or fails.
func (w *wire) flush() {
	defer close(w.done)
	var spare []byte
	for {
		w.mu.Lock()
		for len(w.out) == 0 && !w.closed {
			w.moved.Wait()
		}
		batch, within := w.out, publishWait
		w.out = spare[:0]
		if w.closed {
			within = disconnectMS * time.Millisecond
		}
		w.moved.Broadcast()
		w.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		w.Conn.SetWriteDeadline(time.Now().Add(within)) // fails only with the connection, and then so does the write
		if _, err := w.Conn.Write(batch); err != nil {
			w.mu.Lock()
			w.err = err
			w.moved.Broadcast()
			w.mu.Unlock()
			w.Conn.Close()
			return
		}
		spare = batch
		if w.alive > 0 {
			w.ask.Reset(w.alive / 2)
		}
	}
}

// SetWriteDeadline does nothing: what is written has a deadline of its own.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is for reading; the zero time leaves it to the wire when a connection is dead.
func (w *wire) SetDeadline(t time.Time) error {
	w.mu.Lock()
	w.until = t
	w.mu.Unlock()
	return w.Conn.SetReadDeadline(t)
}

// Close writes what waits, for a moment, and closes the connection.
func (w *wire) Close() error {
	w.mu.Lock()
	w.closed = true
	w.ask.Stop()
	w.moved.Broadcast()
	w.mu.Unlock()
	w.Conn.SetWriteDeadline(time.Now().Add(disconnectMS * time.Millisecond)) // of a write that hangs
	<-w.done
	return w.Conn.Close()
}

// dial opens a connection as the client library does, and makes a wire of it.
func dial(u *url.URL, o mqtt.ClientOptions) (net.Conn, error) {
	d := &net.Dialer{Timeout: o.ConnectTimeout}
	var c net.Conn
	var err error
	switch u.Scheme {
	case "ws", "wss":
		bare := *u
		bare.User = nil // goes in the MQTT session
		conf := o.TLSConfig
		if u.Scheme == "ws" {
			conf = nil
		}
		c, err = mqtt.NewWebsocket(bare.String(), conf, o.ConnectTimeout, o.HTTPHeaders, o.WebsocketOptions)
	default:
		c, err = proxy.FromEnvironmentUsing(d).Dial("tcp", u.Host)
	}
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "ssl", "tls", "mqtts":
		conf := o.TLSConfig.Clone()
		if conf.ServerName == "" {
			conf.ServerName = u.Hostname()
		}
		t := tls.Client(c, conf)
		t.SetDeadline(time.Now().Add(o.ConnectTimeout))
		if err := t.Handshake(); err != nil {
			c.Close()
			return nil, err
		}
		t.SetDeadline(time.Time{})
		c = t
	}
	return newWire(c, time.Duration(o.KeepAlive)*time.Second), nil
}
