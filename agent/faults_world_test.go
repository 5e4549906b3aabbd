package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/firmware-build/lab/world"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/miekg/dns"
)

// openWorld opens the acquirer's host, another place and the resolver.
func (s *shop) openWorld() error {
	if err := s.makeCA(); err != nil {
		return err
	}
	now := time.Now()
	if err := s.certify(now.Add(-24*time.Hour), now.AddDate(0, 3, 0)); err != nil {
		return err
	}
	var err error
	if s.hostDoor, err = s.serveTLS(world.HostIP, shopHostPort, &s.host); err != nil {
		return err
	}
	if _, err := s.serveTLS(world.BrokerIP, shopOtherPort, &s.other); err != nil {
		return err
	}
	if err := s.servePage(world.BrokerIP); err != nil {
		return err
	}
	if s.f.advised != nil {
		if err := s.serveBroker(*s.f.advised); err != nil {
			return err
		}
	}
	mux := dns.NewServeMux()
	mux.HandleFunc(".", func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		name := strings.TrimSuffix(q.Question[0].Name, ".")
		if ip, known := s.names[name]; !known {
			a.Rcode = dns.RcodeNameError
		} else if q.Question[0].Qtype == dns.TypeA {
			a.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name + ".", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
				A: net.ParseIP(ip)}}
		}
		w.WriteMsg(a)
	})
	packet, err := net.ListenPacket("udp", world.ResolverIP+":53")
	if err != nil {
		return err
	}
	s.resolver = &dns.Server{PacketConn: packet, Handler: mux}
	go s.resolver.ActivateAndServe()
	return nil
}

// servePage answers every request as an empty page, or as the site's sign-in page once that stands in between.
func (s *shop) servePage(ip string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "80"))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				if _, err := c.Read(make([]byte, 1024)); err != nil {
					return
				}
				answer := "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
				if s.walled.Load() {
					answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nsign in"
				}
				c.Write([]byte(answer))
			}()
		}
	}()
	return nil
}

// serveBroker is as much of an MQTT broker as brings one retained advisory to the terminal.
func (s *shop) serveBroker(word report.Advisory) error {
	l, err := net.Listen("tcp", net.JoinHostPort(world.BrokerIP, strconv.Itoa(shopBrokerPort)))
	if err != nil {
		return err
	}
	word.Time = time.Now()
	said := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	said.Qos, said.Retain, said.MessageID, said.TopicName = 1, true, 1, report.AdvisoryTopic("test", word.Scope, word.Key)
	if said.Payload, err = json.Marshal(word); err != nil {
		return err
	}
	s.told = make(chan struct{})
	heard := sync.OnceFunc(func() { close(s.told) })
	session := func(c net.Conn) error {
		defer c.Close()
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return err
			}
			var answer packets.ControlPacket
			switch p := p.(type) {
			case *packets.ConnectPacket:
				answer = packets.NewControlPacket(packets.Connack)
			case *packets.SubscribePacket:
				a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
				a.MessageID, a.ReturnCodes = p.MessageID, bytes.Repeat([]byte{1}, len(p.Topics))
				if err := a.Write(c); err != nil {
					return err
				}
				answer = said
			case *packets.PublishPacket:
				a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				a.MessageID = p.MessageID
				answer = a
			case *packets.PubackPacket:
				heard()
				continue
			case *packets.PingreqPacket:
				answer = packets.NewControlPacket(packets.Pingresp)
			default:
				continue
			}
			if err := answer.Write(c); err != nil {
				return err
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go session(c)
		}
	}()
	return nil
}

func (s *shop) serveTLS(ip string, port int, cert *atomic.Pointer[tls.Certificate]) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate,
		error) {
		return cert.Load(), nil
	}}
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				raw.SetDeadline(time.Now().Add(10 * time.Second))
				conn := tls.Server(raw, c)
				if conn.Handshake() == nil {
					conn.Read(make([]byte, 1)) // the other side closes
				}
			}()
		}
	}()
	return l, nil
}

func (s *shop) makeCA() (err error) {
	now := time.Now()
	if s.ca, err = (housetest.Authority{}).TrySign(root(now.AddDate(-1, 0, 0), now.AddDate(9, 0, 0))); err != nil {
		return err
	}
	if _, err := os.Stat(s.path("ca.pem")); err == nil {
		return nil // the terminal trusts the one that was first
	}
	return s.trust(s.ca.Cert.Raw)
}

// root is what a root of this name says for a span of time.
func root(from, to time.Time) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: from,
		NotAfter: to,
		IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
}

// trust puts a root into the terminal's store, in place of what is there.
func (s *shop) trust(der []byte) error {
	return os.WriteFile(s.path("ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// oldRoot leaves in the terminal's store what was the root of the same authority until yesterday.
func (s *shop) oldRoot() error {
	t := root(time.Now().AddDate(-9, 0, 0), time.Now().AddDate(0, 0, -1))
	der, err := x509.CreateCertificate(rand.Reader, t, t, &s.ca.Key.PublicKey, s.ca.Key)
	if err != nil {
		return err
	}
	return s.trust(der)
}

// certify gives both places certificates for a span of time.
func (s *shop) certify(from, to time.Time) error {
	return errors.Join(s.certifyOne(&s.host, shopHost, from, to), s.certifyOne(&s.other, shopOther, from, to))
}

func (s *shop) certifyOne(cert *atomic.Pointer[tls.Certificate], name string, from, to time.Time) error {
	own, err := s.ca.TrySign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err == nil {
		pair := own.TLS()
		cert.Store(&pair)
	}
	return err
}
