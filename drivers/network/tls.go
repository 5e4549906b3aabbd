package network

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// A Trust is what a server's certificate is judged by.
type Trust struct {
	Name  string    // the name the certificate must have, host name or IP address; empty: none is known
	Roots *Roots    // nil: those of the system
	Now   time.Time // the moment at which it must be valid
}

// A Hello is a form of the first message of a handshake. Devices between a terminal and its host may pass one form and
// drop another, so a payment application may get through where our own first attempt does not.
type Hello string

// Hellos.
const (
	// HelloSmall fits into one packet on every path: all versions, the server's name, no post-quantum share.
	HelloSmall Hello = "small"
	// HelloPlain is that of an old client: TLS 1.2 at most and no server name. Boxes that know no TLS 1.3, and boxes
	// that filter by name, let it pass.
	HelloPlain Hello = "plain"
	// HelloOld is TLS 1.2 at most, with the server's name.
	HelloOld Hello = "old"
	// HelloLarge carries a post-quantum key share and does not fit into one packet of 1400 bytes.
	HelloLarge Hello = "large"
	// HelloTLCP is of the Chinese national protocol (GB/T 38636-2020), which cannot be spoken here, only recognised.
	HelloTLCP Hello = "tlcp"
)

// A Form is the first message as a certain program sends it. The zero value is a small hello of this package.
type Form struct {
	Hello Hello
	Max   uint16 // newest version that it offers; 0: the newest there is
	Name  string // server name in it, if it has one; empty: the one that is asked for
}

// A Handshake is how a connect with a TLS handshake ended.
type Handshake struct {
	Connect
	// TLS is OK, Expired, NotYetValid, NameMismatch, UnknownCA, Timeout, Protocol, Unsupported or Stopped; empty if not
	// connected.
	TLS        Outcome
	Took       time.Duration
	Hello      Hello // the form that was answered, or the first one
	Swallowed  bool  // the first form ended in a time-out or a reset where another was answered
	Refused    bool  // the host answered another form and not the first one
	WantsCert  bool  // the server asks for a certificate of ours, and was shown none
	Reset      bool  // Protocol: the peer closed the connection before it sent anything
	OldVersion bool  // below TLS 1.2
	Alert      int   // Unsupported: the alert with which the server answered (RFC 8446, 6); 0: none
	TLCP       bool  // Unsupported: the server speaks TLCP (version 0x0101)
	Chain            // what its certificates say; Known is false if it showed none
}

const (
	firstHello  = 2500 * time.Millisecond // measured: 40 to 160 ms on a LAN, under 1 s on 2G
	otherHello  = time.Second
	tlcpHello   = 700 * time.Millisecond
	largeHello  = 1500 * time.Millisecond
	tlsRecord   = 5  // bytes of a record's header
	recordAlert = 21 // content types (RFC 8446, 5.1)
	recordShake = 22
)

// errJudged ends a handshake because the certificate was not accepted; the reason is kept beside it.
var errJudged = errors.New("certificate not accepted")

// TryTLS connects, does the handshake, and closes; no application byte is sent. The chain is always judged here, so
// that the reason has a name; a chain that is not accepted ends the handshake there. Old versions and ciphers are
// offered too: the question is what the payment application would meet, and nothing secret is sent.
//
// The first hello is of the given form: that of the payment application, where it is known. If it brings no
// certificate, other forms are tried, each on a connection of its own, as long as again tells that another connection
// may be made: a device may drop the hello of one client and pass that of another. A server that answers in a way that
// this package cannot judge (an alert, a protocol, curve or key of its own) is Unsupported: it may well suit the
// payment application.
func TryTLS(ctx context.Context, w Way, trust Trust, first Form, again func() bool) Handshake {
	if first.Hello == "" {
		first.Hello = HelloSmall
	}
	try := func(f Form, wait time.Duration) Handshake {
		if f.Hello == HelloTLCP {
			return tryTLCP(ctx, w, wait)
		}
		return tryHello(ctx, w, trust, f, wait)
	}
	wait := firstHello
	if first.Hello == HelloLarge {
		wait = largeHello // a smaller one comes next, and there is time for both
	}
	h := try(first, wait)
	swallowed, refused := h.TLS == Timeout || h.Reset, h.TLS == Unsupported || h.TLS == Protocol && !h.Reset
	if h.Outcome != OK || h.settled() {
		return h
	}
	for _, f := range []struct {
		hello Hello
		wait  time.Duration
	}{{HelloSmall, otherHello}, {HelloPlain, otherHello}, {HelloTLCP, tlcpHello}, {HelloOld, otherHello}} {
		if f.hello == first.Hello || f.hello == HelloOld && h.TLS == Timeout ||
			f.hello == HelloTLCP && h.TLS == Unsupported && h.Alert == 0 {
			continue // too long already, or the server has said enough
		}
		if ctx.Err() != nil || !again() {
			break
		}
		o := try(Form{Hello: f.hello}, f.wait)
		o.Bytes += h.Bytes
		if o.settled() || o.TLS == Unsupported && h.TLS != Unsupported {
			bytes := o.Bytes
			o.Connect = h.Connect
			o.Bytes = bytes
			h = o
			h.Swallowed, h.Refused = swallowed && h.settled(), refused && h.settled()
		}
		h.Bytes = o.Bytes
		if h.settled() {
			break
		}
	}
	return h
}

// settled tells whether another form of hello could not teach more.
func (h *Handshake) settled() bool { return h.Known || h.TLCP || h.TLS == Stopped }

// TryLargeHello finds out whether a hello that does not fit into one packet gets through where a small one does: OK, or
// Timeout or Reset where it is dropped. Any other outcome proves nothing. took is how long the small one needed: a host
// that is slow with every handshake drops none.
func TryLargeHello(ctx context.Context, w Way, trust Trust, took time.Duration) (Outcome, int) {
	h := tryHello(ctx, w, trust, Form{Hello: HelloLarge}, largeHello+2*took)
	switch {
	case h.Outcome != OK:
		return Stopped, h.Bytes
	case h.Known, h.Alert != 0, h.TLS == Unsupported:
		return OK, h.Bytes
	case h.TLS == Timeout:
		return Timeout, h.Bytes
	case h.Reset:
		return Reset, h.Bytes
	}
	return Stopped, h.Bytes
}

// tryHello is one connection with one form of hello.
func tryHello(ctx context.Context, w Way, trust Trust, form Form, wait time.Duration) Handshake {
	tcp, c := connect(ctx, w, connectWait)
	h := Handshake{Connect: c, Hello: form.Hello}
	if tcp == nil {
		return h
	}
	conn := &firstBytes{Conn: tcp}
	defer conn.Close()
	try, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	h.Bytes += handshakeBytes
	config := &tls.Config{
		ServerName:         cmp.Or(form.Name, trust.Name),
		MinVersion:         tls.VersionTLS10,
		CipherSuites:       everyCipher(),
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
		InsecureSkipVerify: true, // because VerifyConnection below judges every chain and names the reason
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h.WantsCert = true
			return &tls.Certificate{}, nil
		},
	}
	switch config.MaxVersion = form.Max; form.Hello {
	case HelloPlain:
		config.ServerName, config.MaxVersion = "", cmp.Or(form.Max, tls.VersionTLS12)
	case HelloOld:
		config.MaxVersion = cmp.Or(form.Max, tls.VersionTLS12)
	case HelloLarge:
		config.CurvePreferences = append([]tls.CurveID{tls.X25519MLKEM768}, config.CurvePreferences...)
	}
	judged := Outcome("")
	config.VerifyConnection = func(s tls.ConnectionState) error {
		judged, h.Chain = judge(s.PeerCertificates, trust)
		h.OldVersion = s.Version < tls.VersionTLS12
		if judged != OK {
			return errJudged
		}
		return nil
	}
	client := tls.Client(conn, config)
	start := time.Now()
	err := client.HandshakeContext(try)
	h.Took = time.Since(start)
	head := conn.seen()
	switch {
	case judged != "": // what the server thinks of us afterwards is not its certificate's fault
		h.TLS = judged
	case cutShort(ctx):
		h.TLS = Stopped
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), timedOut(err):
		h.TLS = Timeout
	case len(head) == 0:
		h.TLS = Protocol
		h.Reset = errors.Is(err, io.EOF) || outcomeOf(ctx, err) == Reset
	case head[0] == recordAlert || head[0] == recordShake:
		h.TLS = Unsupported
		h.TLCP = len(head) > 2 && head[1] == 1 && head[2] == 1
		if head[0] == recordAlert && len(head) > tlsRecord+1 {
			h.Alert = int(head[tlsRecord+1])
		}
	default: // it speaks, and something else than TLS
		h.TLS = Protocol
	}
	if h.TLS == OK {
		// TLS 1.3 tells of a missing client certificate only after the handshake; there is nothing to wait for here.
		_ = conn.SetDeadline(time.Now().Add(cancelCheck))
		_ = client.Close()
	}
	return h
}

// firstBytes remembers how the peer began.
type firstBytes struct {
	net.Conn
	mu   sync.Mutex
	head []byte
}

func (f *firstBytes) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	if left := tlsRecord + 2 - len(f.head); left > 0 {
		f.head = append(f.head, p[:min(n, left)]...)
	}
	return n, err
}

func (f *firstBytes) seen() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.head)
}

// tlcpSuites are those of GB/T 38636-2020, 6.4.5.2.1: ECDHE and ECC with SM4 in CBC and GCM.
var tlcpSuites = []byte{0xe0, 0x51, 0xe0, 0x53, 0xe0, 0x11, 0xe0, 0x13}

// tryTLCP sends a hello of TLCP and looks whether the answer is of that protocol. Nothing more is spoken.
func tryTLCP(ctx context.Context, w Way, wait time.Duration) Handshake {
	conn, c := connect(ctx, w, connectWait)
	h := Handshake{Connect: c, Hello: HelloTLCP, TLS: Protocol}
	if conn == nil {
		return h
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	_ = conn.SetDeadline(time.Now().Add(wait))
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, says crypto/rand
	body := append([]byte{1, 1}, random[:]...)
	body = append(body, 0, 0, byte(len(tlcpSuites)))
	body = append(append(body, tlcpSuites...), 1, 0)
	msg := append([]byte{recordShake, 1, 1, 0, byte(len(body) + 4), 1, 0, 0, byte(len(body))}, body...)
	h.Bytes += len(msg) + 2*(ipHeader+tcpHeader)
	if _, err := conn.Write(msg); err != nil {
		return h
	}
	var head [tlsRecord + 2]byte
	n, _ := io.ReadFull(conn, head[:])
	h.Bytes += n
	if n >= 3 && head[1] == 1 && head[2] == 1 && (head[0] == recordShake || head[0] == recordAlert) {
		h.TLS, h.TLCP = Unsupported, true
	}
	return h
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func everyCipher() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	for _, s := range tls.InsecureCipherSuites() {
		ids = append(ids, s.ID)
	}
	return ids
}
