package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/agent/translate"
	"posdx/drivers/sim"
	"posdx/firmware-build/lab/world"
)

const (
	agentReady = 15 * time.Second
	saleWait   = 60 * time.Second // of one command to the payment application
	goodSales  = 3
	pause      = 2500 * time.Millisecond // between the last good sale and the fault
	columns    = 80
	// dataSize is the size of the terminal's data file system.
	dataSize = 4 << 20
)

// A lab is the simulated terminal with its world, seen from inside the namespaces.
type lab struct {
	o   options
	s   scenario
	p   paths
	say func(zh, en string, args ...any)

	world      *world.World
	kernelLog  *world.KernelLog
	out        *outdoors
	reader     *sim.Reader
	readerLine *sim.Line
	modem      *sim.Modem
	modemLine  *sim.Line
	agent      *process
	app        *process
	orders     io.WriteCloser
	outcomes   chan world.Outcome
}

// inside is the half of the lab that lives in namespaces of its own.
func inside(ctx context.Context, args []string, out, talk io.Writer) int {
	l := &lab{outcomes: make(chan world.Outcome, 1)}
	f := flag.NewFlagSet("inside", flag.ContinueOnError)
	l.o.flags(f, translate.Language(args))
	if err := f.Parse(args); err != nil {
		return 2
	}
	l.s, _ = find(l.o.scenario)
	l.p = paths{l.o.dir}
	l.say = func(zh, en string, args ...any) {
		if l.o.lang == "en" {
			zh = en
		}
		fmt.Fprintf(out, zh+"\n", args...)
	}
	defer l.close()
	d, err := l.run(ctx, out)
	if err != nil {
		complain(talk, l.o.lang, "：场景 %s：%v", ": scenario %s: %v", l.s.name, err)
		return 1
	}
	problem := l.judge(d)
	if problem != nil {
		complain(talk, l.o.lang, "：场景 %s：%v", ": scenario %s: %v", l.s.name, problem)
	}
	if l.o.once {
		if problem != nil {
			return 1
		}
		return 0
	}
	l.say("\n继续运行中：再看一眼网页，或在另一个终端里运行\n  %s status --socket %s\n按 Ctrl-C 结束。", "\nStill running: look at the page, or in another shell\n  %s status --socket %s\nCtrl-C ends it.",
		filepath.Join(l.o.bin, "posdx"), l.p.hook())
	select {
	case <-ctx.Done():
		return 0
	case <-l.agent.done:
		complain(talk, l.o.lang, "：posdx 退出了：%v%s", ": posdx ended: %v%s", l.agent.err, tail(l.agent.log))
		return 1
	}
}

func (l *lab) run(ctx context.Context, out io.Writer) (report.Diagnosis, error) {
	var none report.Diagnosis
	begun := time.Now()
	l.say("场景 %s：%s", "Scenario %s: %s", l.s.name, l.s.in(l.o.lang))
	if err := l.build(ctx); err != nil {
		return none, err
	}
	l.say("模拟终端已就绪（%.1f 秒）：posdx、支付应用、读卡器、%s、收单主机、域名服务器", "The simulated terminal is up (%.1f s): posdx, payment app, reader, %s, acquirer host, resolver",
		time.Since(begun).Seconds(), l.s.iface())
	if err := l.sellWell(ctx); err != nil {
		return none, err
	}
	// Evidence counts in seconds: what happens in the same one has no order.
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case <-time.After(pause):
	}
	if l.s.breaks != nil {
		l.say("现在弄坏：%s", "Now breaking: %s", l.s.in(l.o.lang))
		if err := l.s.breaks(ctx, l); err != nil {
			return none, fmt.Errorf("break: %w", err)
		}
	}
	o, err := l.do(ctx, l.s.sale)
	if err != nil {
		return none, err
	}
	if o.HookError != "" {
		return none, fmt.Errorf("payment app: %s%s", o.HookError, tail(l.agent.log))
	}
	var d report.Diagnosis
	if l.s.wire {
		if d, err = l.seen(ctx, o); err != nil {
			return none, err
		}
		l.say("支付应用显示 %s（%s），没有通知任何人；最终结论 %d 毫秒", "The payment app shows %s (%s) and tells nobody; final revision after %d ms", o.Code, o.Origin, d.TookMS)
	} else {
		if d, err = verdict(o); err != nil {
			return none, err
		}
		l.say("支付应用显示 %s（%s）；首个结论 %d 毫秒，最终结论 %d 毫秒", "The payment app shows %s (%s); first revision after %d ms, final after %d ms", o.Code, o.Origin, o.FirstMS, o.FinalMS)
	}
	fmt.Fprintln(out)
	io.WriteString(out, diagnose.Render(d, l.o.lang, columns))
	if l.o.record != "" {
		if err := record(l.o.record, l.s, d); err != nil {
			return d, err
		}
	}
	if l.s.mend != nil {
		if err := l.s.mend(ctx, l); err != nil {
			return d, fmt.Errorf("mend: %w", err)
		}
		l.say("\n已修复，终端重新上线。", "\nMended; the terminal comes back.")
	}
	if err := l.onFleetPage(ctx, d); err != nil {
		return d, err
	}
	l.say("\n平台网页：http://%s/ 也已显示这条诊断（全程 %.1f 秒）", "\nFleet page: http://%s/ shows this diagnosis too (%.1f s in all)", l.o.listen, time.Since(begun).Seconds())
	return d, nil
}

// judge says what is wrong with a diagnosis, nil if it is the right one.
func (l *lab) judge(d report.Diagnosis) error {
	first := report.Unexplained
	if len(d.Causes) > 0 {
		first = d.Causes[0].ID
	}
	switch {
	case l.s.wire && d.Event.Channel != report.ChannelCapture:
		return fmt.Errorf("expected the code to be seen on the wire, not by %s", d.Event.Channel)
	case l.s.want == nil && !d.Abstained:
		return fmt.Errorf("expected to abstain, got %s", first)
	case l.s.want != nil && d.Abstained:
		return fmt.Errorf("expected %s, got an abstention (first cause %s)", strings.Join(l.s.want, "/"), first)
	case l.s.want != nil && !slices.Contains(l.s.want, first):
		return fmt.Errorf("expected %s, got %s", strings.Join(l.s.want, "/"), first)
	case !slices.Contains(l.s.retry, d.Money.Retry):
		return fmt.Errorf("expected the advice %s, got %s", strings.Join(l.s.retry, "/"), d.Money.Retry)
	}
	return nil
}

// build makes the world and starts everything in it.
func (l *lab) build(ctx context.Context) (err error) {
	if err = privateMounts(); err != nil {
		return err
	}
	if err = l.calm(); err != nil {
		return err
	}
	if l.world, err = world.NewWorld(l.s.iface()); err != nil {
		return err
	}
	if err = os.MkdirAll(l.p.data(), 0o755); err != nil {
		return err
	}
	if err = unix.Mount("tmpfs", l.p.data(), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,mode=755", dataSize)); err != nil {
		return fmt.Errorf("mount %s: %w", l.p.data(), err)
	}
	if err = os.MkdirAll(l.p.state(), 0o700); err != nil {
		return err
	}
	if l.out, err = newOutdoors(ctx, l.o.dir, l.s.wire); err != nil {
		return err
	}
	l.reader = sim.NewReader(sim.GemCorePOSPro(), 1)
	l.readerLine = sim.NewLine(l.p.reader(), l.reader, 1)
	if err = l.readerLine.Plug(); err != nil {
		return err
	}
	if l.s.cellular {
		l.modem = sim.NewModem(sim.Quectel(), goodModem(), 1)
		l.modemLine = sim.NewLine(l.p.modem(), l.modem, 1)
		if err = l.modemLine.Plug(); err != nil {
			return err
		}
	}
	if err = l.writeConfig(); err != nil {
		return err
	}
	if err = l.startApp(); err != nil {
		return err
	}
	return l.startAgent(ctx)
}

func (l *lab) close() {
	if l.orders != nil {
		l.orders.Close() // without orders the payment application ends
	}
	for _, p := range []*process{l.app, l.agent} {
		if p != nil {
			p.stop()
		}
	}
	for _, c := range []*sim.Line{l.readerLine, l.modemLine} {
		if c != nil {
			c.Close()
		}
	}
	if l.world != nil {
		l.world.Close()
	}
	if l.kernelLog != nil {
		l.kernelLog.Close()
	}
}

func (l *lab) startAgent(ctx context.Context) (err error) {
	c := within(l.world.Terminal, l.p.resolv(), filepath.Join(l.o.bin, "posdx"), "run", "--config", l.p.config())
	c.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=25") // as on a terminal
	if l.agent, err = start("posdx", l.p.log("posdx"), c); err != nil {
		return err
	}
	return l.agent.until(ctx, agentReady, func() bool {
		answer, err := l.status()
		return err == nil && strings.Contains(answer, `"result"`)
	})
}

func (l *lab) startApp() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Under a name of its own, so that the check of the payment application's process finds it.
	if err := os.Symlink(self, l.p.app()); err != nil {
		return err
	}
	tells := tellsHook
	if l.s.wire {
		tells = tellsNobody
	}
	c := within(l.world.Terminal, l.p.resolv(), l.p.app(), "app", l.o.dir, l.o.lang, tells)
	orders, err := c.StdinPipe()
	if err != nil {
		return err
	}
	answers, w, err := os.Pipe()
	if err != nil {
		return err
	}
	c.Stdout = w
	l.orders = orders
	l.app, err = start("payment app", l.p.log("payapp"), c)
	w.Close()
	if err != nil {
		answers.Close()
		return err
	}
	go func() {
		defer answers.Close()
		for d := json.NewDecoder(answers); ; {
			var o world.Outcome
			if d.Decode(&o) != nil {
				return
			}
			l.outcomes <- o
		}
	}()
	return nil
}

// do has a customer come, gives the payment application one order and waits for its outcome.
func (l *lab) do(ctx context.Context, order string) (world.Outcome, error) {
	if strings.HasPrefix(order, "sell") {
		l.reader.Insert()
		defer l.reader.Remove()
	}
	if _, err := fmt.Fprintln(l.orders, order); err != nil {
		return world.Outcome{}, fmt.Errorf("payment app: %w%s", err, tail(l.app.log))
	}
	select {
	case o := <-l.outcomes:
		return o, nil
	case <-ctx.Done():
		return world.Outcome{}, ctx.Err()
	case <-l.app.done:
		return world.Outcome{}, fmt.Errorf("payment app ended: %v%s", l.app.err, tail(l.app.log))
	case <-time.After(saleWait):
		return world.Outcome{}, fmt.Errorf("payment app: no answer to %q after %v%s", order, saleWait, tail(l.app.log))
	}
}

// sellWell signs in and sells a few times: a terminal that never worked is another story than one that just did.
func (l *lab) sellWell(ctx context.Context) error {
	o, err := l.do(ctx, "signin")
	if err != nil {
		return err
	}
	if o.Code != "00" {
		return fmt.Errorf("sign in: %s from %s%s", o.Code, o.Origin, tail(l.agent.log))
	}
	for n := range goodSales {
		o, err := l.do(ctx, "sell")
		if err != nil {
			return err
		}
		if o.Code != "00" {
			return fmt.Errorf("sale %d in a healthy world: %s from %s%s", n+1, o.Code, o.Origin, tail(l.agent.log))
		}
	}
	l.say("签到成功，%d 笔消费成功", "Signed in, %d sales approved", goodSales)
	return nil
}

// seen waits until the daemon, which nobody told, has diagnosed the code of a sale.
func (l *lab) seen(ctx context.Context, o world.Outcome) (report.Diagnosis, error) {
	for end := time.Now().Add(saleWait); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return report.Diagnosis{}, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		answer, err := l.status()
		if err != nil {
			return report.Diagnosis{}, err
		}
		var a struct {
			State struct {
				Last *report.Diagnosis `json:"last"`
			} `json:"state"`
		}
		if err := json.Unmarshal([]byte(answer), &a); err != nil {
			return report.Diagnosis{}, fmt.Errorf("read the daemon's state: %w", err)
		}
		if d := a.State.Last; d != nil && d.Final && d.Event.Code == o.Code && d.Event.Txn != nil &&
			d.Event.Txn.STAN == o.STAN {
			return *d, nil
		}
	}
	return report.Diagnosis{}, fmt.Errorf("sale %s ended with %s, and the daemon has not seen it%s", o.STAN, o.Code, tail(l.agent.log))
}

// status asks the daemon what it knows now.
func (l *lab) status() (string, error) {
	h, err := net.DialTimeout("unix", l.p.hook(), time.Second)
	if err != nil {
		return "", err
	}
	defer h.Close()
	h.SetDeadline(time.Now().Add(time.Second))
	io.WriteString(h, `{"type":"status"}`+"\n")
	return bufio.NewReader(h).ReadString('\n')
}

// verdict takes the final diagnosis out of what the daemon told the payment application.
func verdict(o world.Outcome) (report.Diagnosis, error) {
	for _, line := range slices.Backward(o.Told) {
		var answer struct {
			Result    string            `json:"result"`
			Why       string            `json:"why"`
			Diagnosis *report.Diagnosis `json:"diagnosis"`
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			return report.Diagnosis{}, fmt.Errorf("read the daemon's answer: %w", err)
		}
		if answer.Diagnosis != nil && answer.Diagnosis.Final {
			return *answer.Diagnosis, nil
		}
		if answer.Result == "error" || answer.Result == "busy" {
			return report.Diagnosis{}, fmt.Errorf("the daemon answered %s: %s", answer.Result, answer.Why)
		}
	}
	return report.Diagnosis{}, errors.New("the daemon gave no final diagnosis")
}
