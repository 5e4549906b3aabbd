package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"
)

// mailRoots are the authorities of mail servers; nil: those of the system.
var mailRoots *x509.CertPool

// A mailer sends by SMTP: TLS from the start on port 465, else STARTTLS, without which nothing is sent.
type mailer struct{ Way }

func (m *mailer) send(ctx context.Context, n Notice) error {
	host, port, err := net.SplitHostPort(m.SMTP)
	if err != nil {
		return permanent{err}
	}
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", m.SMTP)
	if err != nil {
		return err
	}
	defer c.Close()
	end := time.Now().Add(sendWait)
	if d, ok := ctx.Deadline(); ok {
		end = d
	}
	c.SetDeadline(end)
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: mailRoots}
	if port == "465" {
		c = tls.Client(c, config)
	}
	s, err := smtp.NewClient(c, host)
	if err != nil {
		return fmt.Errorf("mail server: %w", refused(err))
	}
	defer s.Close()
	if _, secured := s.TLSConnectionState(); !secured && !m.Plain {
		if ok, _ := s.Extension("STARTTLS"); !ok {
			return permanent{errors.New("mail server: no STARTTLS; use port 465, or plain for one on this machine")}
		}
		if err := s.StartTLS(config); err != nil {
			return fmt.Errorf("mail server: %w", err)
		}
	}
	if m.User != "" {
		password, err := secretFrom(m.PasswordFile)
		if err != nil {
			return permanent{err}
		}
		if err := s.Auth(smtp.PlainAuth("", m.User, password, host)); err != nil {
			return fmt.Errorf("mail server: sign in: %w", refused(err))
		}
	}
	from, err := mail.ParseAddress(m.From)
	if err != nil {
		return permanent{err}
	}
	if err := s.Mail(from.Address); err != nil {
		return fmt.Errorf("mail server: sender: %w", refused(err))
	}
	var to []string
	for _, a := range m.To {
		p, err := mail.ParseAddress(a)
		if err != nil {
			return permanent{err}
		}
		if err := s.Rcpt(p.Address); err != nil {
			return fmt.Errorf("mail server: receiver: %w", refused(err))
		}
		to = append(to, p.String())
	}
	w, err := s.Data()
	if err != nil {
		return fmt.Errorf("mail server: %w", refused(err))
	}
	if _, err := w.Write(letter(from, to, n, time.Now())); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("mail server: %w", refused(err))
	}
	return s.Quit()
}

// refused tells what a server will refuse again from what it may take later.
func refused(err error) error {
	var p *textproto.Error
	if errors.As(err, &p) && p.Code >= 500 {
		return permanent{err}
	}
	return err
}

// letter is the whole mail. Nothing of a notice stands in a header but encoded.
func letter(from *mail.Address, to []string, n Notice, now time.Time) []byte {
	var b bytes.Buffer
	_, host, _ := strings.Cut(from.Address, "@")
	for _, h := range [][2]string{
		{"From", from.String()}, {"To", strings.Join(to, ", ")},
		{"Subject", mime.BEncoding.Encode("utf-8", strings.Join(strings.Fields(n.Title), " "))},
		{"Date", now.Format(time.RFC1123Z)}, {"Message-ID", "<" + rand.Text() + "@" + host + ">"},
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "base64"}, {"Auto-Submitted", "auto-generated"},
		{"X-Posdx-Incident", fmt.Sprint(n.Incident)},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	for text := base64.StdEncoding.EncodeToString([]byte(n.Text)); text != ""; {
		k := min(76, len(text))
		b.WriteString(text[:k] + "\r\n")
		text = text[k:]
	}
	return b.Bytes()
}
