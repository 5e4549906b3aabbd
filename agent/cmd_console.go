package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"posdx/agent/internal/bundle"
	"posdx/agent/internal/console"
	"posdx/agent/internal/library"
	"posdx/agent/internal/say"
	"posdx/agent/internal/sshsig"
	"posdx/agent/report"
	"posdx/agent/translate"
	"posdx/codes"
	"posdx/drivers/serial"
)

// lineAgain is how long to wait before a serial line is opened again that was unplugged or is in use.
const lineAgain = 5 * time.Second

func runConsole(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "console", "[--tty DEV --baud N] [--charset utf-8|gbk] [--plain]",
		"技术人员控制台：最近的结论、历史、各设备、检查、引导、查应答码、交接码。在当前终端上，或用 --tty 在一路串口上，供 minicom 或 picocom 查看（8N1，无流控）。它向正在运行的守护进程询问。\n"+
			"在串口上，除结论以外的内容要先输入配置里的 console.pin，或用 console.keys 之一签名；两者都没有时，谁插上线都能看，也能启动检查。",
		"The technician's console: the last verdict, history, every device, checks, the guide, codes, the hand-off code. Here, or with --tty on a serial line that minicom or picocom looks at (8N1, no flow control). It speaks to the running daemon.\n"+
			"On a serial line it asks for console.pin of the configuration, or for a signature by one of console.keys, before it shows more than the verdict; without either, whoever reaches the plug may read and may start checks.",
		"posdx console --lang en\nposdx console --tty /dev/ttyS1 --baud 9600 --charset gbk")
	tty := f.String("tty", "", "在这个串口`设备`上；默认在当前终端\nserial `device` to serve; default: the terminal this is started on")
	baud := f.Int("baud", 115200, "串口`速率`\n`speed` of the serial line")
	client := addClientFlags(f)
	charset := f.String("charset", "", "终端软件的`字符集`：utf-8 或 gbk；默认按 console.charset\n`character set` of the terminal program: utf-8 or gbk; default: console.charset")
	plain := f.Bool("plain", false, "只逐行输出，用于不能移动光标的终端\nprint lines only, for a terminal without cursor addressing")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 || !client.valid(s) {
		misuse(s, f, words, 0)
		return exitUsage
	}
	if *charset != "" && *charset != "utf-8" && *charset != "gbk" {
		s.fail("console", say.New("no-charset", *charset))
		return exitUsage
	}
	d, err := client.daemon()
	if err != nil {
		return client.failed(s, err)
	}
	conf, _, err := readConfig(*client.config)
	if err != nil {
		conf = config0() // the daemon may run with it all the same; without it no number, no PIN and no key is known
		if *tty != "" && !unwritten(*client.config) {
			s.fail("console", err)
			return exitFailed // a line must not be open because its lock could not be read
		}
	}
	lang := s.lang()
	if asked, _ := s.option("lang"); asked == "" && conf.Console.Language != "" && (*tty != "" || translate.Environment() == "") {
		lang = conf.Console.Language // the environment here says nothing of who sits at the other end of a line
	}
	c := consoleOf(conf, lang)
	c.Backend, c.Knowledge = d, knowledge(*client.config)
	c.Bundle = func(ctx context.Context) (string, []byte, error) {
		w := filesOf(*client.config, c.Lang)
		w.State = func() (report.State, error) { return d.State(ctx) }
		b, _, err := w.Fitting(time.Now(), report.Agent{Version: version, Knowledge: c.Knowledge().Hash})
		return bundle.Name(conf.Terminal, time.Now()), b, err
	}
	c.Plain = c.Plain || *plain
	if *charset != "" {
		c.GBK = *charset == "gbk"
	}
	if *tty != "" {
		c.Log = slog.New(slog.NewTextHandler(s.err, nil))
		err = serveLine(ctx, c, serial.Config{Path: *tty, Baud: *baud}, func(err error) {
			s.fail("console", say.New("line-retried", err, lineAgain))
		})
	} else {
		err = serveHere(ctx, c, s)
	}
	if err != nil {
		s.fail("console", err)
		return exitFailed
	}
	return exitOK
}

// consoleOf is a console as the configuration wants it, without what it speaks to.
func consoleOf(c config, lang string) *console.Console {
	var keys []sshsig.Key
	for _, line := range c.Console.Keys {
		if k, err := sshsig.ParseKey(line); err == nil { // what is none was refused with the configuration
			keys = append(keys, k)
		}
	}
	return &console.Console{
		Keys: keys, Terminal: c.Terminal,
		Past: func() ([]report.Diagnosis, error) {
			list, err := readHistory(pastDir(c))
			return list, bundle.Why(err)
		}, Lang: lang,
		GBK: c.Console.Charset == "gbk", Plain: c.Console.Plain,
		PIN: c.Console.PIN, Hidden: c.Console.Locked == "nothing", Idle: time.Duration(c.Console.Idle),
		Contacts: console.Contacts{Acquirer: c.Contacts.Acquirer, Carrier: c.Contacts.Carrier, Service: c.Contacts.Service},
	}
}

// inForce is the knowledge that a daemon of this configuration would use now.
func inForce(config string) *codes.Knowledge { return knowledge(config)() }

// knowledge returns what gives the daemon's knowledge if its configuration and state can be read, else the program's
// own.
func knowledge(config string) func() *codes.Knowledge {
	if c, _, err := readConfig(config); err == nil {
		if lib, err := library.New(c.StateDir, c.Knowledge.Keys, slog.New(slog.DiscardHandler)); err == nil {
			return func() *codes.Knowledge {
				lib.Look()
				return lib.Now.Load()
			}
		}
	}
	return codes.Builtin
}

// serveLine serves a serial line until ctx ends. A line that is in use or unplugged is tried again for ever; say is
// told when its trouble changes.
func serveLine(ctx context.Context, c *console.Console, line serial.Config, say func(error)) error {
	c.Stay = true
	said := ""
	for ctx.Err() == nil {
		p, err := serial.Open(line)
		if err == nil {
			said = ""
			c.Carrier = p.Carrier
			// Closing ends a Read and a Write that wait, and with them Run.
			stop := context.AfterFunc(ctx, func() { p.Close() })
			err = c.Run(ctx, p)
			stop()
			p.Close()
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			say(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lineAgain):
		}
	}
	return nil
}

// serveHere serves the terminal the command was started on.
func serveHere(ctx context.Context, c *console.Console, s stdio) error {
	in, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return say.New("need-terminal")
	}
	if t := os.Getenv("TERM"); t == "dumb" {
		c.Plain = true
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return say.New("set-up-terminal", err)
	}
	defer term.Restore(int(in.Fd()), old)
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	c.Resized = resized
	err = c.Run(ctx, struct {
		io.Reader
		io.Writer
	}{in, s.out})
	if !c.Plain {
		fmt.Fprint(s.out, "\x1b[24;1H\r\n")
	}
	return err
}
