package world

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"posdx/drivers/ecr"
	"posdx/drivers/reader"
	"posdx/drivers/serial"
)

// Codes that the payment application makes itself, in the forms of the firmwares that code tables name.
const (
	codeConnect  = "newpos:E5"
	codeSend     = "newpos:E6"
	codeReceive  = "newpos:E7"
	codeUnpack   = "newpos:E8"
	codeCard     = "newpos:E12"
	codeWrite    = "newpos:E21"
	codeReader   = "mpt:drv-icc"
	reasonNoText = "98" // field 39 of a reversal after a lost answer
)

// An App is a payment application: it signs in, reads a chip, keeps a reversal record, sells over ISO 8583, writes a
// log as such programs do, and calls the hook. It knows no real card: what it sends in card fields is test data, and
// none of it reaches log or hook. Its methods are called from one goroutine.
type App struct {
	Terminal string // field 41
	Merchant string // field 42
	TPDU     string
	Host     string      // host:port
	TLS      *tls.Config // nil for a plain connection
	Wallet   string      // host:port of the gateway that a cashier's QR sales go through
	Resolver string      // address:port; empty means the system's
	Reader   string      // the reader's tty
	Records  string      // folder for reversal records
	LogFile  string
	GB18030  bool // the log's encoding, else UTF-8
	Hook     string
	Version  string
	Lang     string
	Timeout  time.Duration // of connecting, and of waiting for an answer

	stan     int
	signedIn time.Time
	signin   string
	pending  int // reversals without an answer
}

// An Outcome is how a sale or sign-in ended.
type Outcome struct {
	Code   string `json:"code"`
	Origin string `json:"origin"` // host terminal cashier
	STAN   string `json:"stan"`
	Sent   bool   `json:"sent"`
	Answer bool   `json:"answer"`
	// Told is what the daemon answered to the code, as it came: one JSON document per line, the last one final.
	Told    []json.RawMessage `json:"told,omitempty"`
	FirstMS int64             `json:"first_ms"` // from telling the code to the first answer with a verdict
	FinalMS int64             `json:"final_ms"` // and to the last
	// HookError says why the daemon could not be told.
	HookError string `json:"hook_error,omitempty"`
}

func (a *App) number() string {
	a.stan++
	return fmt.Sprintf("%06d", a.stan)
}

// SignIn signs the terminal in at the host and reports the session's facts to the hook. The code of an automatic
// sign-in, as applications make them by themselves, is shown to no person.
func (a *App) SignIn(ctx context.Context, automatic bool) Outcome {
	stan := a.number()
	a.log("POS签到 流水号=%s 终端号=%s", stan, a.Terminal)
	o := a.exchange(ctx, stan, "0800", "", map[int]string{11: stan, 60: "00000001003", 63: "01 "})
	a.signin = o.Code
	if o.Code == "00" {
		a.signedIn = time.Now()
	}
	a.tellFacts()
	if o.Code != "00" && !automatic {
		a.report(&o, txn{STAN: stan, TerminalID: a.Terminal, Sent: &o.Sent, HostAnswerSeen: &o.Answer, MTI: answerType(o, "0810")})
	}
	return o
}

// Age makes the last sign-in older by so much, since a test cannot wait for a day.
func (a *App) Age(by time.Duration) { a.signedIn = a.signedIn.Add(-by) }

// Sell makes one sale by chip; with other, a card whose chip is not read is taken contactless. If the sale does not end
// in an approval the hook is told the code, and Sell waits for the final verdict.
func (a *App) Sell(ctx context.Context, other bool) Outcome {
	stan := a.number()
	t := txn{STAN: stan, TerminalID: a.Terminal, Entry: "chip"}
	a.say(mark{Phase: "start", txn: t})
	a.log("消费开始 流水号=%s 终端号=%s", stan, a.Terminal)
	o := a.sell(ctx, stan, &t, other)
	end := mark{Phase: "end", Result: "failed", txn: txn{STAN: stan, Entry: t.Entry}, Code: o.Code}
	switch {
	case o.Code == "00":
		end.Result = "approved"
	case o.Answer:
		end.Result = "declined"
	}
	a.say(end)
	if o.Origin == "host" {
		a.log("消费结束 流水号=%s 终端号=%s 应答码=%s", stan, a.Terminal, o.Code)
	} else {
		a.log("消费结束 流水号=%s 终端号=%s 错误码=%s", stan, a.Terminal, o.Code)
	}
	a.tellFacts()
	if o.Code != "00" {
		a.report(&o, t)
	}
	return o
}

func (a *App) sell(ctx context.Context, stan string, t *txn, other bool) Outcome {
	no := false
	t.Sent, t.HostAnswerSeen = &no, &no
	code, read := a.card(ctx)
	if read != nil {
		a.say(mark{Phase: "read", OK: read, txn: txn{STAN: stan, Entry: "chip"}})
	}
	if code == codeCard && other {
		code, t.Entry = "", "contactless"
	}
	if code != "" {
		return Outcome{Code: code, Origin: "terminal", STAN: stan}
	}
	record := filepath.Join(a.Records, "reversal-"+stan)
	if err := a.keep(record); err != nil {
		a.log("写冲正文件失败 流水号=%s", stan)
		return Outcome{Code: codeWrite, Origin: "terminal", STAN: stan}
	}
	begun := time.Now()
	o := a.exchange(ctx, stan, "0200", t.Entry, map[int]string{
		2: "6222020000000003", 3: "000000", 4: "000000001234", 11: stan, 14: "3012", 22: "051", 25: "00", 26: "06",
		35: "6222020000000003D30122010000000000", 49: "156", 52: "\x00\x00\x00\x00\x00\x00\x00\x00", 53: "2600000000000000",
		60: "22000001000", 64: "\x00\x00\x00\x00\x00\x00\x00\x00",
	})
	t.Sent, t.HostAnswerSeen, t.MTI = &o.Sent, &o.Answer, answerType(o, "0210")
	if o.Answer {
		ms := time.Since(begun).Milliseconds()
		t.ResponseMS = &ms
	}
	switch {
	case !o.Sent || o.Answer:
		os.Remove(record)
	default:
		a.pending++
		r := a.number()
		a.log("自动冲正 流水号=%s 原流水号=%s 原因=%s", r, stan, reasonNoText)
		if back := a.exchange(ctx, r, "0400", "", map[int]string{3: "000000", 4: "000000001234", 11: stan, 22: "051",
			25: "00", 39: reasonNoText, 49: "156", 60: "22000001000"}); back.Code == "00" {
			a.pending--
			os.Remove(record)
		}
	}
	return o
}

func answerType(o Outcome, mti string) string {
	if o.Answer {
		return mti
	}
	return ""
}

// keep writes a reversal record before a request may leave, as the POS specification demands.
func (a *App) keep(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1024))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// exchange sends one request and waits for its answer.
func (a *App) exchange(ctx context.Context, stan, mti, entry string, fields map[int]string) Outcome {
	o := Outcome{Origin: "terminal", STAN: stan}
	fields[41], fields[42] = pad(a.Terminal, 8), pad(a.Merchant, 15)
	b, err := ecr.Build(ecr.UnionPay(), ecr.Head{TPDU: a.TPDU, Header: "602200000000"}, mti, fields)
	if err != nil {
		panic(err) // the fields above are ours
	}
	begun := time.Now()
	c, err := a.dial(ctx, a.Host, a.TLS)
	if err != nil {
		a.log("联接失败 流水号=%s 耗时=%dms", stan, time.Since(begun).Milliseconds())
		o.Code = codeConnect
		return o
	}
	defer c.Close()
	connect := time.Since(begun).Milliseconds()
	c.SetDeadline(time.Now().Add(a.Timeout))
	if _, err := c.Write(ecr.Binary2.Append(nil, b)); err != nil {
		o.Code, o.Sent = codeSend, true // part of it may have left
		return o
	}
	o.Sent = true
	if mti == "0200" {
		a.say(mark{Phase: "sent", txn: txn{STAN: stan, Entry: entry, ConnectMS: &connect}})
	}
	b, err = ecr.Binary2.Read(c)
	if err != nil {
		a.log("数据接收失败 流水号=%s 耗时=%dms", stan, time.Since(begun).Milliseconds())
		o.Code = codeReceive
		return o
	}
	m, err := ecr.Parse(b, ecr.UnionPay())
	if err != nil || m.Code == "" {
		o.Code = codeUnpack
		return o
	}
	o.Answer, o.Code, o.Origin = true, m.Code, "host"
	if mti == "0200" {
		ms := time.Since(begun).Milliseconds()
		a.say(mark{Phase: "answered", txn: txn{STAN: stan, MTI: m.MTI, Entry: entry, ConnectMS: &connect, ResponseMS: &ms}})
	}
	return o
}

func (a *App) dial(ctx context.Context, place string, secure *tls.Config) (net.Conn, error) {
	d := net.Dialer{Timeout: a.Timeout}
	if a.Resolver != "" {
		d.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: a.Timeout}).DialContext(ctx, network, a.Resolver)
		}}
	}
	if secure == nil {
		return d.DialContext(ctx, "tcp", place)
	}
	return (&tls.Dialer{NetDialer: &d, Config: secure}).DialContext(ctx, "tcp", place)
}

// Scan makes a QR sale through the SDK of a cash register, which has one code for every error: 9997.
func (a *App) Scan(ctx context.Context) Outcome {
	stan := a.number()
	a.log("扫码支付 流水号=%s", stan)
	o := Outcome{Code: "9997", Origin: "cashier", STAN: stan}
	if c, err := a.dial(ctx, a.Wallet, nil); err == nil {
		c.SetDeadline(time.Now().Add(a.Timeout))
		fmt.Fprintf(c, "PAY %s\n", stan)
		if answer, _ := bufio.NewReader(c).ReadString('\n'); strings.TrimSpace(answer) == "PAID" {
			o.Code = "00"
		}
		c.Close()
	}
	a.log("扫码支付结束 流水号=%s 收银返回=%s", stan, o.Code)
	a.tellFacts()
	if o.Code != "00" {
		// The SDK does not say whether anything was sent or answered.
		a.report(&o, txn{Entry: "code"})
	}
	return o
}

const (
	cardTries = 20
	cardWait  = 100 * time.Millisecond // between tries while a check of the agent holds the port
)

// card powers the chip. It returns the code of a failure, and whether the card could be read, nil if the reader could
// not be asked.
func (a *App) card(ctx context.Context) (code string, read *bool) {
	if a.Reader == "" {
		return "", nil
	}
	var p *serial.Port
	err := serial.ErrBusy
	for try := 0; try < cardTries && errors.Is(err, serial.ErrBusy) && ctx.Err() == nil; try++ {
		if try > 0 {
			time.Sleep(cardWait)
		}
		p, err = serial.Open(serial.Config{Path: a.Reader, Baud: 115200})
	}
	if err != nil {
		a.log("读卡器打开失败")
		return codeReader, nil
	}
	defer p.Close()
	ok, err := powerOn(p)
	if err != nil {
		a.log("读卡器无应答")
		return codeReader, nil
	}
	if !ok {
		return codeCard, &ok
	}
	return "", &ok
}

// readerWait is how long a reader may take to power a card and answer (ISO 7816-3 gives a card 40 ms).
const readerWait = 2 * time.Second

func powerOn(p *serial.Port) (ok bool, err error) {
	p.SetReadDeadline(time.Now().Add(readerWait))
	p.SetWriteDeadline(time.Now().Add(readerWait))
	if _, err := p.Write(reader.Frame(nil, reader.Message{Type: reader.PowerOn, Seq: 0x51})); err != nil {
		return false, err
	}
	var d reader.Decoder
	b := make([]byte, 64)
	for {
		n, err := p.Read(b)
		for _, c := range b[:n] {
			if _, m, whole := d.Push(c); whole && m.Answer() && m.Seq == 0x51 {
				return m.Param[0]&0xC0 == 0, nil
			}
		}
		if err != nil {
			return false, err
		}
	}
}

// log writes one line as payment applications do: local time, a module, Chinese words, key=value. No card data.
func (a *App) log(format string, args ...any) {
	line := time.Now().Format("2006-01-02 15:04:05.000 ") + "[POS] " + fmt.Sprintf(format, args...) + "\n"
	if a.GB18030 {
		if s, err := simplifiedchinese.GB18030.NewEncoder().String(line); err == nil {
			line = s
		}
	}
	f, err := os.OpenFile(a.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return // a full disk must not stop a sale
	}
	f.WriteString(line)
	f.Close()
}

// txn and mark are what the hook's protocol version 1 calls so.
type txn struct {
	MTI            string `json:"mti,omitempty"`
	STAN           string `json:"stan,omitempty"`
	TerminalID     string `json:"terminal_id,omitempty"`
	Entry          string `json:"entry,omitempty"`
	ConnectMS      *int64 `json:"connect_ms,omitempty"`
	ResponseMS     *int64 `json:"response_ms,omitempty"`
	Sent           *bool  `json:"sent,omitempty"`
	HostAnswerSeen *bool  `json:"host_answer_seen,omitempty"`
}

type mark struct {
	Type   string `json:"type"`
	Phase  string `json:"phase"`
	OK     *bool  `json:"ok,omitempty"`
	Result string `json:"result,omitempty"`
	Code   string `json:"code,omitempty"`
	txn
}

// hookWait is how long the application waits for a diagnosis, longer than the daemon's own deadline.
const hookWait = 15 * time.Second

// say tells the hook one thing; a daemon that is away is no reason to stop selling.
func (a *App) say(m mark) {
	m.Type = "txn"
	a.ask(m, func([]byte) bool { return true })
}

// tellFacts tells what only the payment application knows.
func (a *App) tellFacts() {
	session := map[string]any{"signed_in": !a.signedIn.IsZero()}
	if a.signin != "" {
		session["last_signin_result"] = a.signin
		if !strings.HasPrefix(a.signin, "0") && len(a.signin) != 2 {
			session["last_signin_result"] = "none"
		}
	}
	if !a.signedIn.IsZero() {
		session["signin_age_s"] = int(time.Since(a.signedIn) / time.Second)
	}
	for check, facts := range map[string]map[string]any{
		"app.session": session,
		"app.journal": {"pending_reversals": a.pending, "unsettled": 0, "stan_reused": false},
		"app.version": {"installed": a.Version, "expected": a.Version},
		// Its parameters equal the provisioning record: what breaks in a simulated world lies elsewhere.
		"app.config": {"terminal_id_ok": true, "merchant_id_ok": true, "host_ok": true, "tpdu_ok": true},
		"app.keys":   {"state": "ok", "backup_cell_ok": true},
	} {
		a.ask(map[string]any{"type": "fact", "check": check, "facts": facts}, func([]byte) bool { return true })
	}
}

// report tells the hook a code and keeps what the daemon answers until its last word.
func (a *App) report(o *Outcome, t txn) {
	request := map[string]any{"type": "code", "code": o.Code, "origin": o.Origin, "txn": t, "wait": "final", "full": true, "lang": a.Lang}
	begun := time.Now()
	err := a.ask(request, func(line []byte) bool {
		o.FinalMS = time.Since(begun).Milliseconds()
		if bytes.Contains(line, []byte(`"result":"first"`)) {
			o.FirstMS = o.FinalMS
		}
		o.Told = append(o.Told, append(json.RawMessage(nil), line...))
		var answer struct {
			More bool `json:"more"`
		}
		return json.Unmarshal(line, &answer) != nil || !answer.More
	})
	if err != nil {
		o.HookError = err.Error()
	}
}

// ask sends one request and gives each line of the answer to take until that says it was the last.
func (a *App) ask(request any, take func([]byte) bool) error {
	if a.Hook == "" {
		return nil
	}
	c, err := net.DialTimeout("unix", a.Hook, time.Second)
	if err != nil {
		return fmt.Errorf("call hook %s: %w", a.Hook, err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(hookWait))
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := c.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("call hook %s: %w", a.Hook, err)
	}
	s := bufio.NewScanner(c)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if take(s.Bytes()) {
			return nil
		}
	}
	if s.Err() != nil {
		return fmt.Errorf("call hook %s: %w", a.Hook, s.Err())
	}
	return fmt.Errorf("call hook %s: ended without an answer", a.Hook)
}
