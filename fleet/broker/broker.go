// Package broker runs an MQTT broker in process, for a fleet that lives on one machine: the MQTT listener of
// nats-server.
//
// On loopback it may accept every client. Elsewhere it demands TLS and that clients identify themselves, by name and
// password or by their certificates. Each may then publish under its own name only. It accepts a fixed number of
// sessions and refuses more, since under more it would fail altogether and not only slow down: a larger fleet has a
// broker of its own.
package broker

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"posdx/agent/report"
)

const (
	maxStore = 4 << 30 // bytes of sessions, retained and waiting messages on disk

	// DefaultSessions leaves room on two cores for the fleet itself. MaxSessions is the most that was seen to hold when
	// all come at once: a higher limit is refused, since what lies beyond it is not known to refuse and not collapse.
	DefaultSessions = 2000
	MaxSessions     = 5000
	spare           = 16 // connections beside the sessions: the fleet's own, and one being refused

	// ackPending is how many documents may be on their way to ingest unacknowledged: eight full batches. The default of
	// 100 would hold ingest to two batches of 50 a round trip. All filters together must stay below 65 535.
	ackPending = 4000

	readyWait = 20 * time.Second

	// sessionWait is how long a session may take to be made: as long as an agent waits for it. The default of 5 s is short
	// where thousands come at once: those that are late are cut off and come again, and soon nobody gets in.
	sessionWait = 30 * time.Second
)

// Config is where the broker listens and keeps its sessions.
type Config struct {
	Listen   string // host:port; port 0 means any free one
	Dir      string
	Sessions int // taken at most; 0 means DefaultSessions

	CertFile, KeyFile string // PEM; TLS if given
	CAFile            string // PEM; clients must show a certificate, whose common name is their terminal
	// PEM or DER, of CAFile's authorities: certificates that are refused; read again when it changes
	CRLFile   string
	UsersFile string // name:password a line

	Authority Authority // the fleet's own, instead of CAFile; nil: none
}

// Safe reports whether the broker may listen on an address that other machines reach.
func (c Config) Safe() bool {
	return c.CertFile != "" && (c.CAFile != "" || c.UsersFile != "" || c.Authority != nil)
}

// A Broker is a running broker.
type Broker struct {
	s        *server.Server
	address  string
	password string

	certificate []byte // DER; nil without TLS
}

// A ConfigError is the error of a file that the configuration names.
type ConfigError struct{ error }

func (e ConfigError) Unwrap() error { return e.error }

// Check refuses what cannot be meant. Nothing is opened for it.
func (c Config) Check() error {
	if c.Sessions < 0 || c.Sessions > MaxSessions {
		return fmt.Errorf("%d sessions: want 1 to %d; more terminals need a broker of their own (mosquitto, EMQX, a NATS cluster) "+
			"and --broker", c.Sessions, MaxSessions)
	}
	_, _, err := c.address()
	return err
}

// address is where to listen; port 0 means any free one.
func (c Config) address() (host string, port int, err error) {
	host, text, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "", 0, fmt.Errorf("broker address %q: %w", c.Listen, err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("broker address %q: port is not a number up to 65535", c.Listen)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) && !c.Safe() {
		return "", 0, fmt.Errorf("broker address %q: anyone who reaches it could publish as any terminal; give a certificate (--mqtt-cert, --mqtt-key) "+
			"and know the clients (--enroll, --mqtt-users or --mqtt-ca), or listen on 127.0.0.1", c.Listen)
	}
	return host, port, nil
}

// Start starts a broker and returns when it accepts connections.
func Start(c Config, log *slog.Logger) (*Broker, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	host, port, err := c.address()
	if err != nil {
		return nil, err
	}
	portText := strconv.Itoa(port)
	if port == 0 {
		port = -1 // what nats-server calls any free port
	}
	o := &server.Options{
		ServerName: "posdx-fleet", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: c.Dir, JetStreamMaxStore: maxStore, JetStreamMaxMemory: 64 << 20,
		MaxPayload: report.MaxMessage, MaxConn: cmp.Or(c.Sessions, DefaultSessions) + spare,
		// Not SyncAlways: a terminal forgets a document when the store has committed it, not when the broker has it.
		MQTT: server.MQTTOpts{Host: host, Port: port, MaxAckPending: ackPending, JSAPITimeout: sessionWait},
	}
	b := &Broker{password: rand.Text()}
	if err := c.secure(o, b, log); err != nil {
		return nil, fmt.Errorf("start broker: %w", ConfigError{err})
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
	b.s, b.address = s, net.JoinHostPort(host, strconv.Itoa(o.MQTT.Port))
	return b, nil
}

// Address is host:port of the listener.
func (b *Broker) Address() string { return b.address }

// URL is how a client of this machine reaches it.
func (b *Broker) URL() string {
	scheme := "tcp://"
	if b.certificate != nil {
		scheme = "ssl://"
	}
	return scheme + strings.Replace(b.address, "0.0.0.0", "127.0.0.1", 1)
}

// maxDropped bounds the sessions that one look for those to end reads.
const maxDropped = 65_536

// Drop ends the sessions of these terminals, in every estate; one that is still allowed connects again.
func (b *Broker) Drop(terminals []string) {
	list, err := b.s.Connz(&server.ConnzOptions{Username: true, Limit: maxDropped})
	if err != nil {
		return
	}
	for _, c := range list.Conns {
		if slices.Contains(terminals, c.AuthorizedUser) {
			b.s.DisconnectClientByID(c.Cid)
		}
	}
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
