package uplink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/report"
)

func (s *session) connect(ctx context.Context) error {
	u := s.u
	b, err := parseBroker(s.broker)
	if err != nil {
		return err
	}
	u.notes = nil
	u.note(u.suspect.warning())
	if u.short >= fightAfter {
		u.note("sessions end soon after they begin: does another client use the id " + u.cfg.Address.Terminal + "?")
	}
	user, password, err := u.credentials()
	if err != nil {
		return err
	}
	var config *tls.Config
	var with proof
	if b.Scheme == "ssl" {
		if config, with, err = u.tlsConfig(b.Hostname()); err != nil {
			return err
		}
	}
	will, err := json.Marshal(report.Presence{State: "offline", Reason: "connection lost", BootID: u.cfg.BootID})
	if err != nil {
		return err
	}
	o := mqtt.NewClientOptions()
	o.AddBroker("tcp://" + b.Host) // only a name here: open makes the connection
	o.SetClientID(u.cfg.Address.Terminal)
	o.SetUsername(user)
	o.SetPassword(password)
	o.SetProtocolVersion(4)  // or a refusal would be tried again as MQTT 3.1
	o.SetCleanSession(false) // commands sent during a short break still arrive
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetStore(nothing{})
	o.SetKeepAlive(0) // the guard does it
	o.SetConnectTimeout(connectTimeout)
	o.SetWriteTimeout(writeTimeout)
	o.SetBinaryWill(u.cfg.Address.Topic(report.KindStatus), will, 1, true)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.incoming(m) })
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.lose(err) })
	var opened error // why open failed; read once the connect token is done
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		conn, err := s.open(ctx, b, config)
		opened = err
		return conn, err
	})
	s.client = mqtt.NewClient(o)
	t := s.client.Connect()
	limit := time.NewTimer(2 * connectTimeout)
	defer limit.Stop()
	select {
	case <-t.Done():
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return fmt.Errorf("connect %s: no end within %v", s.broker, 2*connectTimeout)
	}
	switch err := t.Error(); {
	case err == nil:
		u.judged(with, nil)
		if u.keepsSmall(s.broker) {
			u.note(smallHello)
		}
		return nil
	case opened != nil:
		if strings.Contains(opened.Error(), "remote error") { // the broker's word, not the line's
			u.judged(with, opened)
		}
		return opened
	default:
		err = s.refusal(err, t.(*mqtt.ConnectToken).ReturnCode())
		u.judged(with, err)
		return err
	}
}

// refusal says what a CONNACK means for the one who set up the terminal (MQTT 3.1.1 section 3.2.2.3).
func (s *session) refusal(err error, code byte) error {
	what := ""
	switch code {
	case packets.ErrRefusedIDRejected:
		what = fmt.Sprintf("the broker does not take the client id %q; register the terminal", s.u.cfg.Address.Terminal)
	case packets.ErrRefusedServerUnavailable:
		what = "the broker is there but not available; it may be starting"
	case packets.ErrRefusedBadUsernameOrPassword:
		what = "user or password is wrong; correct " + orWord(s.u.cfg.UserFile, "the user file (none is configured)")
	case packets.ErrRefusedNotAuthorised:
		what = fmt.Sprintf("the broker does not let %q in; allow the terminal or give it its certificate", s.u.cfg.Address.Terminal)
	default:
		if strings.Contains(err.Error(), "remote error: tls") {
			return fmt.Errorf("connect %s: the broker does not accept our certificate %s: %w", s.broker, orWord(s.u.cfg.CertFile, "(none is configured)"), bare(err))
		}
		return fmt.Errorf("connect %s: no MQTT answer: %w", s.broker, bare(err))
	}
	return fmt.Errorf("connect %s: %s", s.broker, what)
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// open makes the connection under the MQTT session: counted, bounded, closed with the context.
func (s *session) open(ctx context.Context, b *url.URL, config *tls.Config) (net.Conn, error) {
	u := s.u
	within, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := u.dial(within, "tcp", b.Host)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", s.broker, bare(err))
	}
	conn = &metered{conn, u}
	if config != nil {
		c, err := u.handshake(within, s.broker, b.Host, conn, config)
		if err != nil {
			return nil, err
		}
		leaf := c.ConnectionState().PeerCertificates[0]
		u.mu.Lock()
		if leaf.NotBefore.After(u.state.NotBefore) {
			u.state.NotBefore = leaf.NotBefore
		}
		u.mu.Unlock()
		conn = c
	}
	g := &guard{Conn: conn, lost: s.lose, big: s.tooLarge, every: u.cfg.KeepAlive, begun: time.Now()}
	context.AfterFunc(ctx, func() { g.over(ctx.Err()) })
	return g, nil
}

// helloWait is how long a first hello is given: a path that swallows large ones is silent for ever.
const helloWait = 10 * time.Second

// handshake makes the TLS session. The first message of the library carries a post-quantum key share and fills more
// than one packet; some lines drop it. When it gets no answer, a small one is tried on a new connection, used from then
// on, and logged. conn is closed on failure.
func (u *Uplink) handshake(ctx context.Context, broker, host string, conn net.Conn, config *tls.Config) (*tls.Conn,
	error) {
	small := func() *tls.Config {
		c := config.Clone()
		c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
		return c
	}
	kept := u.keepsSmall(broker)
	if kept {
		config = small()
	}
	first, cancel := context.WithTimeout(ctx, helloWait)
	defer cancel()
	if kept {
		first = ctx
	}
	heard := &heardPeer{Conn: conn}
	c := tls.Client(heard, config)
	err := c.HandshakeContext(first)
	if err == nil {
		return c, nil
	}
	conn.Close()
	if ctx.Err() != nil || heard.any.Load() || kept {
		return nil, u.explain(broker, err)
	}
	again, dialled := u.dial(ctx, "tcp", host)
	if dialled != nil {
		return nil, u.explain(broker, err)
	}
	again = &metered{again, u}
	c = tls.Client(again, small())
	if failed := c.HandshakeContext(ctx); failed != nil {
		again.Close()
		return nil, u.explain(broker, failed)
	}
	u.mu.Lock()
	u.small[broker] = true
	u.mu.Unlock()
	return c, nil
}

func (u *Uplink) keepsSmall(broker string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.small[broker]
}

const smallHello = "the line swallows large first messages of TLS; connected with a small one, without a post-quantum key"

// heardPeer notes whether the peer said anything.
type heardPeer struct {
	net.Conn
	any atomic.Bool
}

func (l *heardPeer) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.any.Store(true)
	}
	return n, err
}

// bare takes the addresses out of a network error: they change with every attempt and tell nothing.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
