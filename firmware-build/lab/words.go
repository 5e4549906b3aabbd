package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"posdx/agent/diagnose"
	"posdx/agent/translate"
	"posdx/codes"
)

const (
	helpZH = `posdx-lab 运行一台模拟的支付终端，弄坏某样东西，并显示诊断。

用法：
  posdx-lab scenarios                             列出能弄坏什么
  posdx-lab run --scenario NAME [--once] [...]    （posdx-lab run --help 有更多说明）
  posdx-lab fleet [--terminals N] [--day DAY]     一批终端，其中的事件是已知的（posdx-lab fleet --help）

例：
  posdx-lab run --scenario modem-no-sim --once
`
	helpEN = `posdx-lab runs a simulated payment terminal, breaks something and shows the diagnosis.

usage:
  posdx-lab scenarios                             list what can be broken
  posdx-lab run --scenario NAME [--once] [...]    (posdx-lab run --help tells more)
  posdx-lab fleet [--terminals N] [--day DAY]     a fleet with incidents that are known (posdx-lab fleet --help)

example:
  posdx-lab run --scenario modem-no-sim --once --lang en
`
)

func said(lang, zh, en string) string { return codes.Text{ZH: zh, EN: en}.In(lang) }

// complain says what is wrong to whoever called.
func complain(talk io.Writer, lang, zh, en string, v ...any) {
	for i, a := range v {
		if err, ok := a.(error); ok && lang != "en" {
			v[i] = translate.Error(err, errorTexts)
		}
	}
	fmt.Fprintf(talk, "posdx-lab"+said(lang, zh, en)+"\n", v...)
}

// help makes a flag set print itself in a language: what is said of the command first, then its options, whose help has
// the Chinese in its first line and the English in its second.
func help(f *flag.FlagSet, lang, zh, en string) {
	f.Usage = func() {
		w := f.Output()
		fmt.Fprintln(w, said(lang, zh, en))
		f.VisitAll(func(o *flag.Flag) {
			zh, en, _ := strings.Cut(o.Usage, "\n")
			one := *o
			one.Usage = said(lang, zh, en)
			kind, usage := flag.UnquoteUsage(&one)
			if o.DefValue != "" && o.DefValue != "false" {
				usage += fmt.Sprintf(said(lang, "（默认 %s）", " (default %s)"), o.DefValue)
			}
			fmt.Fprintf(w, "  --%s\n        %s\n", strings.TrimSpace(o.Name+" "+kind), strings.Join(diagnose.Wrap(usage, 72), "\n        "))
		})
	}
}

// parse reads the options of a command. Where it returns false the command is over, with this exit code.
func parse(f *flag.FlagSet, lang string, args []string, out, talk io.Writer) (code int, ok bool) {
	usage := f.Usage
	f.Usage = func() {}
	f.SetOutput(io.Discard) // package flag speaks English
	err := f.Parse(args)
	f.Usage = usage
	switch {
	case err == flag.ErrHelp:
		f.SetOutput(out)
		f.Usage()
		return 0, false
	case err != nil:
		complain(talk, lang, " "+f.Name()+"：%v", " "+f.Name()+": %v", err)
		fmt.Fprintln(talk)
		f.SetOutput(talk)
		f.Usage()
		return 2, false
	}
	return 0, true
}

// errorTexts are what goes wrong in the lab, by the English in which it is made.
var errorTexts = []translate.Text{
	{"没有选项 %s", "flag provided but not defined: %s"},
	{"选项 %s 需要一个值", "flag needs an argument: %s"},
	{"选项 %[2]s：%[1]s 不合适", "invalid value %q for flag %s: %v"},
	{"选项 %[2]s：%[1]s 不合适", "invalid boolean value %q for %s: %v"},
	{"要给出实验室的目录、语言，以及怎样告知应答码", "want the lab's folder, a language and how codes are told"},
	{"没有命令 %s", "no command %q"},
	{"盖住 %s：%v", "cover %s: %w"},
	{"管理平台显示 %s，终端显示 %s", "the fleet shows %s, the terminal %s"},
	{"%v 后管理平台还没有显示诊断：%s%s", "the fleet does not show the diagnosis after %v: %s%s"},
	{"%s：连不上消息服务器：%v", "%s: cannot connect to the broker: %v"},
	{"%s：无法向消息服务器报到：%v", "%s: cannot tell the broker what it is: %v"},
	{"启动 posdx-fleet：%v", "start posdx-fleet: %w"},
	{"posdx-fleet 没有启动：%s", "posdx-fleet did not start: %s"},
	{"管理平台没有就绪：%v", "the fleet is not ready: %v"},
	{"管理平台不认识 %s：%v", "the fleet does not know %s: %v"},
	{"弄坏：%v", "break: %w"},
	{"修复：%v", "mend: %w"},
	{"支付应用：%v%s", "payment app: %w%s"},
	{"支付应用：%s%s", "payment app: %s%s"},
	{"支付应用退出了：%v%s", "payment app ended: %v%s"},
	{"支付应用：%[2]v 内没有回答 %[1]s%[3]s", "payment app: no answer to %q after %v%s"},
	{"应在线路上看到应答码，却是从 %s", "expected the code to be seen on the wire, not by %s"},
	{"应为无法判断，得到 %s", "expected to abstain, got %s"},
	{"应为 %s，得到无法判断（首要原因 %s）", "expected %s, got an abstention (first cause %s)"},
	{"应为 %s，得到 %s", "expected %s, got %s"},
	{"重试建议应为 %s，得到 %s", "expected the advice %s, got %s"},
	{"签到：%s，来自 %s%s", "sign in: %s from %s%s"},
	{"一切正常时的第 %d 笔交易：%s，来自 %s%s", "sale %d in a healthy world: %s from %s%s"},
	{"读取守护进程的状态：%v", "read the daemon's state: %w"},
	{"交易 %s 以 %s 结束，守护进程没有看到%s", "sale %s ended with %s, and the daemon has not seen it%s"},
	{"读取守护进程的回答：%v", "read the daemon's answer: %w"},
	{"守护进程的回答是 %s：%s", "the daemon answered %s: %s"},
	{"守护进程没有给出最终诊断", "the daemon gave no final diagnosis"},
	{"隔离挂载点：%v", "make mounts private: %w"},
	{"要给出 resolv.conf 和程序", "want a resolv.conf and a program"},
	{"进入网络命名空间：%v", "enter network namespace: %w"},
	{"建立挂载命名空间：%v", "make mount namespace: %w"},
	{"挂载 %s：%v", "mount %s: %w"},
	{"运行 %s：%v", "run %s: %w"},
	{"启动 %s：%v", "start %s: %w"},
	{"%s 退出了：%v%s", "%s ended: %v%s"},
	{"%s 在 %v 后还没有就绪%s", "%s is not ready after %v%s"},
	{"挥卡交易：%s", "sell contactless: %s"},
	{"建立 CA：%v", "make CA: %w"},
	{"签发 %s 的证书：%v", "certify %s: %w"},
	{"%s 的证书：%v：%s", "certificates of %s: %w: %s"},
	{"openssl 也连不通 %s，所以什么也证明不了：%v：%s", "openssl does not get through to %s, so this proves nothing: %w: %s"},
	{"主机 %s 没有起来：%s", "the host %s never came up: %s"},
	{"通知 %s：%v", "call hook %s: %w"},
	{"通知 %s：结束时没有回答", "call hook %s: ended without an answer"},
	{"主机挂断", "host hangs up"},
	{"回答 %s：应为请求", "answer %q: want a request"},
	{"建立 %s：%v", "make %s: %w"},
	{"打开 %s：%v", "open %s: %w"},
	{"设置 %s 的分组方式：%v", "set packet mode of %s: %w"},
	{"建立网络命名空间：%v", "make network namespace: %w"},
	{"打开网络命名空间：%v", "open network namespace: %w"},
	{"打开 netlink：%v", "open netlink: %w"},
	{"列出接口：%v", "list links: %w"},
	{"没有接口 %s", "no link %q"},
	{"接上网线 %s-%s：%v", "make cable %s-%s: %w"},
	{"建立模拟环境：%v", "build world: %w"},
	{"拔掉 %s：它还有载波", "cut %s: it has a carrier still"},
}
