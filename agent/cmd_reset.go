package main

import (
	"context"
	"errors"
	"fmt"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/say"
	"posdx/agent/report"
	"posdx/drivers/modem"
	"posdx/drivers/serial"
)

// exitRefused says that posdx reset did nothing, for the sake of a sale or of the configuration.
const exitRefused = 7

// resetCommand restarts a modem with all its functions (3GPP TS 27.007 section 8.2). It is the only command of the
// whole program that changes a device, and it is sent from here alone.
const resetCommand = "AT+CFUN=1,1"

func runReset(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "reset", "[--config FILE] [--socket PATH] MODEM",
		"重新启动一个通信模块。除非配置允许（may_reset）、没有别的程序占用端口、守护进程知道没有进行中、未结清或存疑的交易，否则拒绝：不知道就算不行。管理平台不能要求这样做。\n"+
			"退出码：0 已重启；7 拒绝，并说明原因；1 没有回应；2 用法不对。",
		"Restarts a modem. It is refused unless the configuration allows it for this modem (may_reset), no other program holds the port, and the daemon knows that no sale is running, unsettled or in doubt: not knowing counts as no. The fleet cannot ask for it.\n"+
			"Exit codes: 0 restarted, 7 refused, and it says why, 1 it did not answer, 2 usage.",
		"posdx reset modem0 --lang en")
	client := addClientFlags(f)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) != 1 || !client.valid(s) {
		misuse(s, f, words, 1)
		return exitUsage
	}
	refuse := func(why string) int {
		fmt.Fprintf(s.err, "posdx reset: %s%s\n", s.say("不复位：", "refused: "), why)
		return exitRefused
	}
	c, _, err := readConfig(*client.config)
	if err != nil {
		s.fail("reset", err)
		return exitFailed
	}
	var m *conf.Port
	for i := range c.Modem {
		if c.Modem[i].Name == words[0] {
			m = &c.Modem[i]
		}
	}
	if m == nil || m.Port == "" {
		s.fail("reset", say.New("no-modem", *client.config, words[0]))
		return exitUsage
	}
	if !m.MayReset {
		return refuse(s.say("配置不允许（may_reset = false）", "the configuration does not allow it (may_reset = false)"))
	}
	var st report.State
	d, err := client.daemon()
	if err == nil {
		st, err = d.State(ctx)
	}
	if err != nil {
		return refuse(s.say("守护进程没有回答，不知道有没有交易：", "the daemon does not answer, so nobody knows of sales: ") + say.Error(err, s.lang()))
	}
	if why := interlock(st, s.lang()); why != "" {
		return refuse(why)
	}
	baud := m.Baud
	if baud == 0 {
		baud = 115200
	}
	p, err := serial.Open(serial.Config{Path: m.Port, Baud: baud, HoldDTR: true, MustSee: true})
	if errors.Is(err, serial.ErrBusy) {
		return refuse(say.Error(err, s.lang()))
	}
	if err == nil {
		defer p.Close()
		_, err = modem.New(p).Command(ctx, resetCommand, "")
	}
	if err != nil {
		s.fail("reset", err)
		return exitFailed
	}
	fmt.Fprintln(s.out, s.say("已重新启动，约一分钟后重新注册网络", "restarts; it registers again in about a minute"))
	return exitOK
}
