// The command posdx-fleet shows what is wrong with which payment terminals, and why.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"posdx/agent/diagnose"
	"posdx/agent/translate"
	"posdx/fleet/api"
	"posdx/fleet/metrics"
)

// version is set by the linker.
var version = "dev"

// Exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // what it was told cannot be meant, on the command line or in a file that is named there
)

// defaultData is the data directory of a fleet that was told no other.
const defaultData = "fleet-data"

// stdio is where a command writes: results on out, talk on err.
type stdio struct {
	out, err io.Writer
	lang     string // of whoever called it, "zh" or "en"
}

// A command is one word after posdx-fleet.
type command struct {
	name   string
	zh, en string // what it does, in a line
	run    func(ctx context.Context, s stdio, args []string) int
}

func commands() []command {
	return []command{
		{"serve", "接收终端上报的内容，保存并显示", "take in what terminals report, keep it and show it", runServe},
		{"ingest", "作为几个工作进程之一接收文档", "take documents in as one of several workers", runIngest},
		{"list", "列出运行中的管理平台最新的诊断", "list the newest diagnoses of a running fleet", runList},
		{"show", "显示运行中的管理平台对一台终端所知的", "show what a running fleet knows of one terminal", runShow},
		{"localise", "从 CSV 文件找出某一时刻各次失败的共同点", "name what the failures of one moment in a CSV file share", runLocalise},
		{"account", "谁可以登录：列出、添加、修改", "who may sign in: list, add, change", runAccount},
		{"token", "程序用的令牌：列出、添加、吊销", "tokens of programs: list, add, revoke", runToken},
		{"enroll", "终端证书：令牌、已签发的、吊销", "certificates of terminals: tokens, what was issued, revocation", runEnroll},
		{"inventory", "终端之间的共同点：导入清单", "what terminals share with others: take a list in", runInventory},
		{"mcp", "让 AI 助手查看运行中的管理平台，只读", "show a running fleet to an assistant, read only", runMCP},
		{"audit", "输出审计日志，并证明其中没有改动", "print the audit log, and prove that nothing in it was changed", runAudit},
		{"backup", "在运行中备份全部数据", "keep a copy of everything while the fleet runs", runBackup},
		{"restore", "由备份建立数据目录", "make a data directory of such a copy", runRestore},
		{"store", "检查数据库，或退回到上一个版本的格式", "look at a store, or take it back to the release before", runStore},
		{"notify", "检查事件通知的设置，或试发一条", "check who is told of incidents, or try it", runNotify},
		{"openapi", "输出 JSON 接口的说明", "print the description of the JSON", printer("openapi", "输出 JSON 接口的说明，OpenAPI 3.1。", "Prints the description of the JSON, OpenAPI 3.1.", api.OpenAPI)},
		{"rules", "输出 Prometheus 告警规则", "print alerting rules for Prometheus", printer("rules", "输出针对本平台指标的 Prometheus 告警规则。", "Prints alerting rules for Prometheus over this fleet's metrics.", metrics.Rules)},
		{"dashboard", "输出 Grafana 面板", "print a dashboard for Grafana", printer("dashboard", "输出可导入 Grafana 的面板。", "Prints a dashboard to import into Grafana.", metrics.Dashboard)},
		{"advisory-key", "生成或显示给终端的通告所用的签名密钥", "make or show the key that signs what terminals are told", runAdvisoryKey},
		{"version", "显示版本和内置的知识包", "print the version and the knowledge inside", runVersion},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, stdio{out: os.Stdout, err: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, s stdio, args []string) int {
	s.lang = translate.Language(args)
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		w := s.out
		if len(args) == 0 {
			w = s.err
		}
		fmt.Fprintln(w, s.say("posdx-fleet 显示哪些支付终端出了什么故障，以及原因。\n\n用法：posdx-fleet 命令 [参数]   （posdx-fleet 命令 --help：查看该命令的说明）",
			"posdx-fleet shows what is wrong with which payment terminals, and why.\n\nusage: posdx-fleet COMMAND [ARGUMENTS]   (posdx-fleet COMMAND --help tells more)"))
		for _, c := range commands() {
			fmt.Fprintf(w, "  %-12s %s\n", c.name, s.say(c.zh, c.en))
		}
		if len(args) == 0 {
			return exitUsage
		}
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, s, args[1:])
		}
	}
	fmt.Fprintf(s.err, s.say("posdx-fleet：没有命令 %q；posdx-fleet help 列出全部命令\n",
		"posdx-fleet: no command %q; posdx-fleet help lists them\n"), args[0])
	return exitUsage
}

// helpWidth is the width of help, in columns.
const helpWidth = 80

// flags returns a flag set whose help names the arguments and gives an example. What is said of the command is in
// paragraphs of a line each; what is said of an option is two lines, in Chinese and in English. Every command takes
// --lang.
func flags(s stdio, name, args, zh, en, example string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(s.err)
	lang := translate.Language(nil)
	f.Func("lang", "`语言`：zh 或 en；默认按环境（LANG）\n`language`, zh or en; default: the environment's (LANG)", func(v string) error {
		if v != "zh" && v != "en" {
			return errors.New("want zh or en")
		}
		lang = v
		return nil
	})
	f.Usage = func() {
		w := f.Output()
		lines := func(indent int, text string) {
			for _, l := range diagnose.Wrap(text, helpWidth-indent) {
				fmt.Fprintln(w, strings.Repeat(" ", indent)+l)
			}
		}
		lines(0, said(lang, "用法：", "usage: ")+"posdx-fleet "+name+" "+args)
		for p := range strings.Lines(said(lang, zh, en)) {
			fmt.Fprintln(w)
			lines(0, strings.TrimSpace(p))
		}
		fmt.Fprintf(w, "\n%s\n  %s\n\n%s\n", said(lang, "例：", "example:"), strings.ReplaceAll(example, "\n", "\n  "), said(lang, "选项：", "options:"))
		f.VisitAll(func(o *flag.Flag) {
			zh, en, _ := strings.Cut(o.Usage, "\n")
			one := *o
			one.Usage = said(lang, zh, en)
			kind, usage := flag.UnquoteUsage(&one)
			if o.DefValue != "" && o.DefValue != "false" && !strings.Contains(en, "(default ") {
				usage += fmt.Sprintf(said(lang, "（默认 %s）", " (default %s)"), o.DefValue)
			}
			fmt.Fprintf(w, "  --%s\n", strings.TrimSpace(o.Name+" "+kind))
			lines(8, usage)
		})
	}
	return f
}

// parse reads flags wherever they stand among the words and returns the words. When it returns false the command is
// over and code is its exit code: help was asked for (on stdout, 0) or the usage was wrong (on stderr, 2).
func parse(s stdio, f *flag.FlagSet, args []string, want int) (words []string, code int, ok bool) {
	return parseWords(s, f, args, want, want)
}

// parseWords is parse with a least and a most number of words.
func parseWords(s stdio, f *flag.FlagSet, args []string, least, most int) (words []string, code int, ok bool) {
	for _, a := range args {
		if a == "-h" || a == "-help" || a == "--help" {
			f.SetOutput(s.out)
			if err := f.Set("lang", translate.Language(args)); err == nil {
				f.Usage()
			}
			return nil, exitOK, false
		}
	}
	lang := translate.Language(args)
	f.Set("lang", lang) // before what is wrong may come
	wrong := func(zh, en string, v ...any) ([]string, int, bool) {
		fmt.Fprintf(s.err, "posdx-fleet %s: "+said(lang, zh, en)+"\n\n", append([]any{f.Name()}, v...)...)
		f.SetOutput(s.err)
		f.Usage()
		return nil, exitUsage, false
	}
	usage := f.Usage
	for {
		f.SetOutput(io.Discard) // package flag speaks English
		f.Usage = func() {}
		err := f.Parse(args)
		f.Usage = usage
		if err != nil {
			s.lang = lang
			return wrong("%s", "%s", s.error(err))
		}
		if f.NArg() == 0 {
			break
		}
		words = append(words, f.Arg(0))
		args = f.Args()[1:]
	}
	if len(words) < least || len(words) > most {
		want := fmt.Sprint(least)
		if most != least {
			want = fmt.Sprintf(said(lang, "%d 至 %d", "%d to %d"), least, most)
		}
		return wrong("有 %d 个参数，须为 %s 个", "%d arguments, want %s", len(words), want)
	}
	return words, exitOK, true
}

// printer is a command that prints a document.
func printer(name, zh, en string, doc func() []byte) func(context.Context, stdio, []string) int {
	return func(_ context.Context, s stdio, args []string) int {
		f := flags(s, name, "", zh, en, "posdx-fleet "+name+" >FILE")
		if _, code, ok := parse(s, f, args, 0); !ok {
			return code
		}
		if _, err := s.out.Write(doc()); err != nil {
			return failed(s, name, err)
		}
		return exitOK
	}
}

// A mistake is an error in what a command was told: an option, or a file that one names. The command fails the same way
// until that is put right.
type mistake struct{ error }

func (m mistake) Unwrap() error { return m.error }

// meant makes whatever a step refuses a mistake.
func meant(step func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := step(ctx); err != nil {
			return mistake{err}
		}
		return nil
	}
}
