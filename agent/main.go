// The command posdx finds out why a payment terminal could not complete a sale.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"posdx/agent/internal/say"
	"posdx/agent/internal/text"
	"posdx/agent/report"
)

// version is set by the linker.
var version = "dev"

// Exit codes of every command; those that check something add their own, said in their help.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitAbstain = 3
)

// stdio is what a command reads and writes: results on out, talk on err.
type stdio struct {
	in       io.Reader
	out, err io.Writer

	args  []string // of the command line, for the language that was asked for
	speak string   // the language where --lang asks for none: of manual pages and tests
	found string   // the language, once run has found it
}

// A command is one word after posdx.
type command struct {
	name   string
	zh, en string // what it does, in a line
	run    func(ctx context.Context, s stdio, args []string) int
}

// commands is the one table of them: help, completion and manual pages are made from it.
func commands() []command {
	return []command{
		{"doctor", "检查本机的安装和配置", "look whether posdx is installed and set up well here", runDoctor},
		{"status", "显示守护进程现在知道什么", "print what the daemon knows now", runStatus},
		{"check", "马上检查设备和网络", "check devices and network now", runCheck},
		{"diagnose", "查找原因：本机现在的，或者记录下来的", "find the cause, here and now or of a recorded case", runDiagnose},
		{"guide", "一问一答，找到原因", "find the cause question by question", runGuide},
		{"history", "列出本机作过的诊断", "list and print the diagnoses of this terminal", runHistory},
		{"code", "查应答码表", "print what the tables say about a response code", runCode},
		{"decode", "解读交接码", "read a hand-off code", runDecode},
		{"console", "技术人员控制台，在这里或在串口上", "the technician's console, here or on a serial line", runConsole},
		{"report", "把应答码交给守护进程，显示结论", "hand a response code to the daemon, print the verdict", runReport},
		{"log", "试支付日志的匹配式，或给出建议", "show what patterns catch in a payment log, or propose some", runLog},
		{"bundle", "把本机情况打包，供技术支持用", "pack what the terminal knows of itself for support", runBundle},
		{"replay", "重新解释资料包里的诊断", "explain again what a support bundle holds", runReplay},
		{"reset", "重启通信模块，前提是不会影响交易", "restart a modem, if no sale can be lost by it", runReset},
		{"enroll", "向管理平台领取本机证书", "get this terminal's certificate from the fleet", runEnroll},
		{"config", "检查配置", "check a configuration", runConfig},
		{"knowledge", "显示或更换知识包", "print or replace the code tables and weights", runKnowledge},
		{"run", "运行守护进程", "run the daemon", runDaemon},
		{"relay", "转接一路串口，让守护进程听到", "pass a serial line through, so that the daemon can hear it", runRelay},
		{"selfcheck", "检查本程序能否在这里接班，或是否已接班", "tell whether this program could take over here, or did", runSelfcheck},
		{"completion", "输出命令行补全脚本", "print the completion of commands and options for a shell", runCompletion},
		{"man", "输出手册页", "print or write the manual pages", runMan},
		{"version", "显示版本", "print the version of the program", runVersion},
	}
}

func main() {
	startUnpreempted()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, s stdio, args []string) int {
	s.args = args
	s.err = (&report.Gate{}).Writer(s.err) // nothing that looks like a card's is said again
	s.found = s.lang()
	if len(args) == 0 {
		usage(s, s.err)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		rest := slices.Clone(args[1:])
		if len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
			usage(s, s.out)
			return exitOK
		}
		args = append(rest, "--help")
	case "-version", "--version", "-V":
		args[0] = "version"
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, s, args[1:])
		}
	}
	if strings.HasPrefix(args[0], "-") {
		s.fail("", say.New("option-first", args[0]))
	} else {
		s.fail("", say.New("no-command", args[0]))
	}
	return exitUsage
}

func usage(s stdio, w io.Writer) {
	fmt.Fprintln(w, s.say("posdx 查找支付终端交易失败的原因。\n\n用法：posdx 命令 [参数]   （posdx help 命令：查看该命令的说明）",
		"posdx finds out why a payment terminal could not complete a sale.\n\nusage: posdx COMMAND [ARGUMENTS]   (posdx help COMMAND tells more)"))
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-11s%s\n", c.name, s.say(c.zh, c.en))
	}
}

// A manual is what a command says of itself: the source of its help, its completion and its manual page.
type manual struct {
	name, args, zh, en, example string // zh and en tell what it does; a line is a paragraph
	flags                       *flag.FlagSet
}

// Write makes a manual usable as a command's output. A command that finds one there describes its arguments in it and
// does nothing else.
func (m *manual) Write(p []byte) (int, error) { return len(p), nil }

// flags returns a flag set whose help names the arguments and gives an example. Every command takes --lang.
func flags(s stdio, name, args, zh, en, example string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(s.err)
	m := manual{name: name, args: args, zh: zh, en: en, example: example, flags: f}
	f.Usage = func() { m.print(s, f.Output()) }
	if asked, ok := s.out.(*manual); ok {
		*asked = m
	}
	f.String("lang", "", "`语言`：zh 或 en；不写则按环境（LANG），再按配置\n`language`, zh or en; default: the environment's (LANG), else the configuration's")
	return f
}

// misuse prints how a command is used, and before it what it does not take of these words, of which it takes so many.
func misuse(s stdio, f *flag.FlagSet, words []string, most int) {
	if len(words) > most {
		s.fail(f.Name(), say.New("word-too-many", words[most]))
	}
	f.Usage()
}

// helpWidth is the width of help, in columns.
const helpWidth = 80

func (m *manual) print(s stdio, w io.Writer) {
	lines := func(indent int, first, what string) {
		pad := strings.Repeat(" ", indent)
		for i, l := range text.Wrap(what, helpWidth-indent, 0) {
			if i == 0 && first != "" {
				fmt.Fprintln(w, first+l)
				continue
			}
			fmt.Fprintln(w, pad+l)
		}
	}
	head := s.say("用法：", "usage: ") + "posdx " + m.name + " "
	lines(text.Width(head), head, m.args)
	for p := range strings.Lines(s.say(m.zh, m.en)) {
		fmt.Fprintln(w)
		lines(0, "", strings.TrimSpace(p))
	}
	fmt.Fprintf(w, "\n%s\n  %s\n\n%s\n", s.say("例：", "example:"), strings.ReplaceAll(m.example, "\n", "\n  "), s.say("选项：", "options:"))
	m.flags.VisitAll(func(o *flag.Flag) {
		kind, usage := s.usage(o)
		fmt.Fprintf(w, "  --%s\n", strings.TrimSpace(o.Name+" "+kind))
		lines(8, "", usage)
	})
}

// usage is what an option takes, and its help; the flag has the Chinese in its first line, the English in its second.
func (s stdio) usage(o *flag.Flag) (kind, usage string) {
	zh, en, _ := strings.Cut(o.Usage, "\n")
	said := *o
	said.Usage = s.say(zh, en)
	return flag.UnquoteUsage(&said)
}

// manualOf asks a command what it takes.
func manualOf(c command) manual {
	var m manual
	c.run(context.Background(), stdio{in: strings.NewReader(""), out: &m, err: io.Discard, speak: "en"}, nil)
	return m
}

// parse reads flags wherever they stand among the words and returns the words. When it returns false the command is
// over and code is its exit code: help was asked for (on stdout, 0) or the usage was wrong (on stderr, 2).
func parse(s stdio, f *flag.FlagSet, args []string) (words []string, code int, ok bool) {
	if _, asked := s.out.(*manual); asked {
		return nil, exitOK, false
	}
	for _, a := range args {
		if a == "--" {
			break
		}
		if a == "-h" || a == "-help" || a == "--help" {
			f.SetOutput(s.out)
			f.Usage()
			return nil, exitOK, false
		}
	}
	usage := f.Usage
	f.Usage = func() {}
	f.SetOutput(io.Discard) // its messages are written here, in the language of the caller
	defer func() {
		f.Usage = usage
		f.SetOutput(s.err)
	}()
	for {
		if err := f.Parse(args); err != nil {
			s.fail(f.Name(), wrongOption(err))
			f.SetOutput(s.err)
			usage()
			return nil, exitUsage, false
		}
		if f.NArg() == 0 {
			break
		}
		done := len(args) > f.NArg() && args[len(args)-f.NArg()-1] == "--"
		if done {
			words = append(words, f.Args()...)
			break
		}
		words = append(words, f.Arg(0))
		args = f.Args()[1:]
	}
	if lang := f.Lookup("lang").Value.String(); lang != "" && lang != "zh" && lang != "en" {
		s.fail(f.Name(), say.New("no-language", lang))
		return nil, exitUsage, false
	}
	return words, exitOK, true
}
