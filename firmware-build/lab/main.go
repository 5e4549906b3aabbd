// The command posdx-lab builds a simulated terminal with everything around it, really breaks something in it, and shows
// what posdx finds. It is for development, tests and demonstrations and never ships to a terminal.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"posdx/agent/translate"
)

// langUsage is the help of --lang.
const langUsage = "`语言`：zh 或 en；默认按环境（LANG）\n`language`, zh or en; default: the environment's (LANG)"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func command(ctx context.Context, args []string, out, talk io.Writer) int {
	word, lang := "help", translate.Language(args)
	if len(args) > 0 {
		word, args = args[0], args[1:]
	}
	var err error
	switch word {
	case "run":
		return run(ctx, args, out, talk)
	case "fleet":
		return fleetDay(ctx, args, out, talk)
	case "scenarios":
		for _, s := range scenarios() {
			fmt.Fprintf(out, "%-22s %s\n", s.name, s.in(lang))
		}
		return 0
	case "inside", "enter", "app": // the lab's own processes, see namespaces.go
		switch word {
		case "inside":
			// Its children die with the thread that started them: that must not be one that entered a namespace and ends.
			runtime.LockOSThread()
			return inside(ctx, args, out, talk)
		case "enter":
			err = enter(args)
		case "app":
			err = serveApp(ctx, args, os.Stdin, out)
		}
	case "help", "-h", "--help":
		fmt.Fprint(out, said(lang, helpZH, helpEN))
		return 0
	default:
		complain(talk, lang, "：没有命令 %q\n\n%s", ": no command %q\n\n%s", word, said(lang, helpZH, helpEN))
		return 2
	}
	if err != nil {
		complain(talk, lang, " %s：%v", " %s: %v", word, err)
		return 1
	}
	return 0
}

// options are those of run, handed on to the process inside.
type options struct {
	scenario string
	once     bool
	lang     string
	dir      string // where the lab keeps sockets, logs and data
	bin      string // where posdx and posdx-fleet are
	record   string
	listen   string
	mqtt     string
}

func (o *options) flags(f *flag.FlagSet, lang string) {
	f.StringVar(&o.scenario, "scenario", "host-96", "弄坏`什么`；posdx-lab scenarios 列出全部\n`what` to break; posdx-lab scenarios lists them")
	f.BoolVar(&o.once, "once", false, "诊断后结束：首要原因对，退出码为 0，否则为 1\nend after the diagnosis: exit code 0 if the first cause is the right one, else 1")
	f.StringVar(&o.lang, "lang", lang, langUsage)
	f.Func("dir", "存放套接字、日志和数据的`目录`（默认 run）\n`folder` for sockets, logs and data (default run)", func(dir string) (err error) {
		o.dir, err = filepath.Abs(dir) // the configuration of a terminal takes absolute paths only
		return err
	})
	o.dir, _ = filepath.Abs("run")
	f.StringVar(&o.bin, "bin", "bin", "posdx 和 posdx-fleet 所在的`目录`\n`folder` of posdx and posdx-fleet")
	f.StringVar(&o.record, "record", "", "把事件和证据作为案例存入的`目录`\n`folder` in which to keep event and evidence as a case")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "管理平台网页的`地址`；端口被占用就换一个空闲的\n`address` of the fleet page; a free port if that one is taken")
	f.StringVar(&o.mqtt, "mqtt-listen", "127.0.0.1:1883", "管理平台消息服务器的`地址`；端口被占用就换一个空闲的\n`address` of the fleet's broker; a free port if that one is taken")
}

// args is the opposite of flags.
func (o *options) args() []string {
	return []string{"--scenario", o.scenario, fmt.Sprintf("--once=%v", o.once), "--lang", o.lang, "--dir", o.dir, "--bin", o.bin,
		"--record", o.record, "--listen", o.listen, "--mqtt-listen", o.mqtt}
}
