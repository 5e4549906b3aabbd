package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"posdx/drivers/sim"
	"posdx/firmware-build/lab/world"
)

const apn = "cmiot"

// A scenario is one thing that goes wrong. All faults are real ones: a link goes down, a listener closes, a file system
// fills up, a tty vanishes, a peer answers something else.
type scenario struct {
	name     string
	does     string
	zh       string // the same in Chinese
	cellular bool   // the terminal's bearer is a modem's, not ethernet
	wire     bool   // sales go without TLS and the payment application tells nobody: posdx sees codes on the wire alone
	breaks   func(context.Context, *lab) error
	sale     string                            // what the payment application then does: sell or scan
	want     []string                          // the first cause is one of these; nil: the diagnosis abstains
	retry    []string                          // the advice on trying again is one of these
	mend     func(context.Context, *lab) error // nil where the fleet is reachable as it is
	why      string                            // the ground truth, kept with a recorded case
}

func (s scenario) in(lang string) string {
	if lang == "en" {
		return s.does
	}
	return s.zh
}

func (s scenario) iface() string {
	if s.cellular {
		return "wwan0"
	}
	return "eth0"
}

func find(name string) (scenario, bool) {
	for _, s := range scenarios() {
		if s.name == name {
			return s, true
		}
	}
	return scenario{}, false
}

// answers makes the host answer sales with a code.
func answers(code string) func(context.Context, *lab) error {
	return func(_ context.Context, l *lab) error {
		l.out.host.Change(func(s *world.HostState) { s.Sale = code })
		return nil
	}
}

// answersAll makes the host answer everything with a code; the next automatic sign-in, which goes no further than the
// acquirer, fails too.
func answersAll(code string) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		l.out.host.Change(func(s *world.HostState) { s.Sale, s.SignIn = code, code })
		_, err := l.do(ctx, "signin-auto")
		return err
	}
}

// dayEnd lets the host close its day: who signed in before has to do so again.
func dayEnd(ctx context.Context, l *lab) error {
	l.out.host.Change(func(s *world.HostState) { s.Sale = "77" })
	_, err := l.do(ctx, "age")
	return err
}

func scenarios() []scenario {
	never := []string{"query-first"}
	notSent := []string{"safe", "later"}
	return []scenario{
		{name: "host-96", zh: "主机应答 96：收单系统自身故障", does: "the host answers 96: its own fault", breaks: answersAll("96"), sale: "sell",
			want: []string{"host.malfunction"}, retry: []string{"later"},
			why: "The acquirer's host answers everything with 96, sign-in included, which goes no further. The answer itself proves that line, terminal and session work."},
		{name: "wire-96", zh: "支付应用不通知 posdx，它在明文连接上看到主机应答 96", does: "the payment app tells nobody; posdx sees the host's 96 on the wire",
			wire: true, breaks: answersAll("96"), sale: "sell", want: []string{"host.malfunction", "switch.malfunction"}, retry: []string{"later"},
			why: "As host-96, with plain TCP: no hook is called, no log is followed. The packets between terminal and host are the only witness."},
		{name: "not-registered-97", zh: "主机应答 97：主机不认识这台终端", does: "the host answers 97: it does not know this terminal", breaks: answersAll("97"), sale: "sell",
			want: []string{"terminal.not-registered"}, retry: []string{"no"},
			why: "The acquirer's host answers everything with 97, sign-in included; nothing at the terminal changed since its last approval."},
		{name: "unknown-9997", zh: "收银软件返回 9997，而终端一切正常", does: "a cashier's SDK says 9997 and nothing is wrong here", sale: "scan", retry: never,
			why: "The wallet gateway could not tell the result in time and the SDK knows only 9997 for that. Nothing at the terminal is broken and nobody knows whether the payer was charged."},
		{name: "unknown-9997-line-cut", zh: "同样的 9997，但网线已断", does: "the same 9997, with the cable out", sale: "scan",
			breaks: func(_ context.Context, l *lab) error { return l.world.Cut() },
			want:   []string{"lan.cable"}, retry: []string{"query-first", "safe", "later"},
			mend: func(_ context.Context, l *lab) error { return l.world.Mend() },
			why:  "The far end of eth0's cable was set down, so there is no carrier. The SDK shows 9997 as for everything."},
		{name: "modem-no-sim", zh: "无线终端的 SIM 卡没了", does: "a cellular terminal loses its SIM", cellular: true, sale: "sell",
			breaks: func(_ context.Context, l *lab) error {
				l.modem.Change(func(s *sim.ModemState) {
					s.SIM, s.Stat, s.Attached, s.Active, s.Address = "10", 0, false, false, ""
				})
				return l.world.DropBearer()
			},
			want: []string{"modem.sim"}, retry: notSent,
			mend: func(_ context.Context, l *lab) error {
				l.modem.Change(func(s *sim.ModemState) { *s = goodModem() })
				return l.world.RaiseBearer()
			},
			why: "The simulated modem answers +CME ERROR: 10 to AT+CPIN?, and its network interface lost carrier, address and route."},
		{name: "reader-unplugged", zh: "读卡器插头松脱", does: "the card reader's plug comes out", sale: "sell",
			breaks: func(_ context.Context, l *lab) error { l.readerLine.Unplug(); return nil },
			want:   []string{"reader.disconnected"}, retry: []string{"safe", "later", "other-means"},
			why: "The reader's tty vanished, as it does when a USB plug comes out; the payment application could not open it."},
		{name: "reader-dirty", zh: "多数卡的芯片读不出，非接正常", does: "most cards' chips are not read any more; contactless works", sale: "sell", breaks: dirty,
			want: []string{"reader.dirty"}, retry: []string{"safe", "other-means"},
			why: "Six of nine different cards did not answer in the reader's slot and were then taken contactless; the reader itself and its line are in order."},
		{name: "storage-full", zh: "数据分区写满", does: "the data partition is full", sale: "sell", breaks: fill,
			want: []string{"terminal.storage-full"}, retry: []string{"safe", "later", "no", "other-means"},
			mend: func(_ context.Context, l *lab) error { return os.Remove(l.filler()) },
			why:  "A file was written until the data file system had no room; the payment application could not keep its reversal record and did not send."},
		{name: "dns-dead", zh: "域名服务器停了", does: "the resolver stops", sale: "sell",
			breaks: func(_ context.Context, l *lab) error { l.out.StopResolver(); return nil },
			want:   []string{"wan.dns"}, retry: notSent,
			mend: func(_ context.Context, l *lab) error { return l.out.StartResolver() },
			why:  "The only resolver was stopped, its port is refused; addresses are reachable as before."},
		{name: "gateway-dead", zh: "网线在，路由器不应答", does: "the router falls silent with the cable in", sale: "sell",
			breaks: func(_ context.Context, l *lab) error { return l.world.KillGateway() },
			want:   []string{"lan.gateway"}, retry: notSent,
			mend: func(_ context.Context, l *lab) error { return l.world.ReviveGateway() },
			why:  "The router's address was taken away: carrier is there, ARP for the gateway is not answered."},
		{name: "wan-outage", zh: "路由器上不了外网", does: "the router loses the internet", sale: "sell",
			breaks: func(_ context.Context, l *lab) error { return l.world.LoseInternet(true) },
			want:   []string{"wan.outage"}, retry: notSent,
			mend: func(_ context.Context, l *lab) error { return l.world.LoseInternet(false) },
			why:  "The router drops everything that goes beyond it; it answers itself."},
		{name: "host-unreachable", zh: "只有主机的地址不通", does: "only the host's address is lost on the way", sale: "sell",
			breaks: func(_ context.Context, l *lab) error { return l.world.LoseHost(world.HostIP, true) },
			want:   []string{"host.unreachable"}, retry: notSent,
			why: "The router drops what goes to the host's address; resolver and fleet are reached."},
		{name: "host-refused", zh: "主机拒绝该端口", does: "the host's machine refuses the port", sale: "sell",
			breaks: func(_ context.Context, l *lab) error { l.out.CloseHost(); return nil },
			want:   []string{"host.port-closed"}, retry: notSent,
			why: "The host's listener was closed; its machine answers connections with a reset."},
		{name: "cert-expired", zh: "主机证书已过期", does: "the host's certificate has expired", sale: "sell",
			breaks: func(_ context.Context, l *lab) error {
				now := time.Now()
				return l.out.Certify(hostName, now.AddDate(0, -3, 0), now.Add(-26*time.Hour))
			},
			want: []string{"host.tls"}, retry: notSent,
			why: "The host presents a certificate that ended yesterday; the terminal's clock is right."},
		{name: "session-77", zh: "主机应答 77：请重新签到", does: "the host answers 77: sign in again", breaks: dayEnd, sale: "sell",
			want: []string{"terminal.session"}, retry: []string{"after-signin"},
			why: "The host closed its day after the last sign-in, 20 h ago, and answers every sale with 77, batch number differs: the terminal has to sign in."},
		{name: "keys-A0", zh: "主机应答 A0：MAC 校验错", does: "the host answers A0: message authentication fails", breaks: answers("A0"), sale: "sell",
			want: []string{"terminal.keys"}, retry: []string{"after-signin", "no"},
			why: "The host answers every sale with A0, wrong MAC: the working keys do not match."},
		{name: "host-silent", zh: "主机收下请求却从不应答", does: "the host takes the request and never answers", sale: "sell",
			breaks: func(_ context.Context, l *lab) error {
				l.out.host.Change(func(s *world.HostState) { s.Silent = true })
				return nil
			},
			want: []string{"host.malfunction", "host.overloaded", "host.unreachable", "unexplained"}, retry: never, // from one sale it cannot be told
			why: "The host takes connection, handshake and request and answers nothing, reversal included; so the request may have been booked."},
	}
}

func goodModem() sim.ModemState {
	s := sim.GoodModem()
	s.APN, s.Address = apn, world.TerminalIP
	return s
}

// dirty has six customers whose chip is not read and who pay contactless then; the next card has a chip only.
func dirty(ctx context.Context, l *lab) error {
	l.reader.Change(func(s *sim.ReaderState) { s.Mute = true })
	for range 6 {
		o, err := l.do(ctx, "sell-any")
		if err != nil {
			return err
		}
		if o.Code != "00" {
			return fmt.Errorf("sell contactless: %s", o.Code)
		}
	}
	return nil
}

func (l *lab) filler() string { return filepath.Join(l.p.data(), "debug.log") }

// fill writes to the data file system until it is full.
func fill(_ context.Context, l *lab) error {
	f, err := os.Create(l.filler())
	if err != nil {
		return err
	}
	defer f.Close()
	for b := make([]byte, 64<<10); len(b) > 0; {
		if _, err := f.Write(b); errors.Is(err, syscall.ENOSPC) {
			b = b[:len(b)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}
