// Package broker runs an MQTT broker in process, for a fleet that lives on one machine: nats-server's MQTT listener.
//
// It takes every client that reaches it, without TLS: a fleet beyond one machine or one trusted network has a broker of
// its own.
package broker

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"posdx/agent/report"
)

const (
	maxStore   = 4 << 30 // bytes of sessions, retained and waiting messages on disk
	maxClients = 65_536

	// ackPending is how many documents may be on their way to ingest unacknowledged: eight full batches. The default of
	// 100 would hold ingest to two batches of 50 a round trip. All filters together must stay below 65 535.
	ackPending = 4000

	readyWait = 20 * time.Second
)

// Config says where the broker listens and keeps its sessions.
type Config struct {
	Listen string // host:port; port 0 means any free one
	Dir    string
}

// A Broker is a running broker.
type Broker struct {
	s       *server.Server
	address string
}

// Start starts a broker and returns when it takes connections.
func Start(c Config, log *slog.Logger) (*Broker, error) {
	host, portText, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("broker address %q: %w", c.Listen, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return nil, fmt.Errorf("broker address %q: port is not a number up to 65535", c.Listen)
	}
	if port == 0 {
		port = -1 // what nats-server calls any free port
	}
	if host == "" {
		host = "0.0.0.0"
	}
	o := &server.Options{
		ServerName: "posdx-fleet", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: c.Dir, JetStreamMaxStore: maxStore, JetStreamMaxMemory: 64 << 20,
		MaxPayload: report.MaxMessage, MaxConn: maxClients,
		// Not SyncAlways: a terminal forgets a document when the store has committed it, not when the broker has it.
		MQTT: server.MQTTOpts{Host: host, Port: port, MaxAckPending: ackPending},
	}
	// nats-server only logs that it cannot listen, so the address is tried first.
	try, err := net.Listen("tcp", net.JoinHostPort(host, portText))
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	try.Close()
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	s.SetLoggerV2(logger{log}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(readyWait) {
		s.Shutdown()
		return nil, fmt.Errorf("start broker on %s: not ready; can %s be written?", c.Listen, c.Dir)
	}
	return &Broker{s, net.JoinHostPort(host, strconv.Itoa(o.MQTT.Port))}, nil
}

// Address is host:port of the listener.
func (b *Broker) Address() string { return b.address }

// URL is how a client of this machine reaches it.
func (b *Broker) URL() string {
	return "tcp://" + strings.Replace(b.address, "0.0.0.0", "127.0.0.1", 1)
}

// Stop stops the broker and waits until its files are closed.
func (b *Broker) Stop() {
	b.s.Shutdown()
	b.s.WaitForShutdown()
}

// logger passes on what the broker warns of. Its notices are for its own operators.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(string, ...any) {}
func (l logger) Debugf(string, ...any)  {}
func (l logger) Tracef(string, ...any)  {}
func (l logger) Warnf(format string, v ...any) {
	l.log.Warn("broker", "says", fmt.Sprintf(format, v...))
}
func (l logger) Errorf(format string, v ...any) {
	l.log.Error("broker", "says", fmt.Sprintf(format, v...))
}
func (l logger) Fatalf(format string, v ...any) {
	l.log.Error("broker", "says", fmt.Sprintf(format, v...))
}
