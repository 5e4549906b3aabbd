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
	"time"

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
	if u.short >= fightAfter {
		u.note("sessions end soon after they begin: does another client use the id " + u.cfg.Address.Terminal + "?")
	}
	user, password, err := u.credentials()
	if err != nil {
		return err
	}
	var config *tls.Config
	if b.Scheme == "ssl" {
		if config, err = u.tlsConfig(b.Hostname()); err != nil {
			return err
		}
	}
	will, err := json.Marshal(report.Presence{State: "offline", Reason: "connection lost", BootID: u.cfg.BootID})
	if err != nil {
		return err
	}
	m := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	m.ProtocolName, m.ProtocolVersion = "MQTT", 4
	m.ClientIdentifier = u.cfg.Address.Terminal
	m.CleanSession = false // commands sent during a short break still arrive
	m.Keepalive = uint16(u.cfg.KeepAlive / time.Second)
	m.UsernameFlag, m.Username = user != "", user
	m.PasswordFlag, m.Password = user != "" && password != "", []byte(password)
	m.WillFlag, m.WillQos, m.WillRetain = true, 1, true
	m.WillTopic, m.WillMessage = u.cfg.Address.Topic(report.KindStatus), will
	deadline := time.Now().Add(connectTimeout)
	conn, err := s.open(ctx, b, config, deadline)
	if err != nil {
		return err
	}
	s.client = &client{
		conn: conn, keepAlive: u.cfg.KeepAlive, take: s.incoming, lost: s.lose,
		pong: make(chan struct{}, 1), ended: make(chan struct{}), pending: map[uint16]*token{},
	}
	code, err := s.client.login(m, deadline)
	if err != nil || code != packets.Accepted {
		return s.refusal(err, code)
	}
	return nil
}

// refusal says what a CONNACK, or an error instead of one, means for the one who set up the terminal (MQTT 3.1.1 section
// 3.2.2.3).
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
		if err == nil {
			err = fmt.Errorf("CONNACK with code %d", code)
		}
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
func (s *session) open(ctx context.Context, b *url.URL, config *tls.Config, deadline time.Time) (net.Conn, error) {
	u := s.u
	within, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := u.dial(within, "tcp", b.Host)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", s.broker, bare(err))
	}
	conn = &metered{conn, u}
	if config != nil {
		c := tls.Client(conn, config)
		if err := c.HandshakeContext(within); err != nil {
			conn.Close()
			return nil, u.explain(s.broker, err)
		}
		leaf := c.ConnectionState().PeerCertificates[0]
		u.mu.Lock()
		if leaf.NotBefore.After(u.state.NotBefore) {
			u.state.NotBefore = leaf.NotBefore
		}
		u.mu.Unlock()
		conn = c
	}
	g := &guard{Conn: conn, lost: s.lose}
	context.AfterFunc(ctx, func() { g.over(ctx.Err()) })
	return g, nil
}

// bare takes the addresses out of a network error: they change with every attempt and tell nothing.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
