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
)

const help = `posdx-lab runs a simulated payment terminal, breaks something and shows the diagnosis.

usage:
  posdx-lab scenarios                             list what can be broken
  posdx-lab run --scenario NAME [--once] [...]    (posdx-lab run --help tells more)
  posdx-lab fleet [--terminals N] [--day DAY]     a fleet with incidents that are known (posdx-lab fleet --help)

example:
  posdx-lab run --scenario modem-no-sim --once --lang en
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func command(ctx context.Context, args []string, out, talk io.Writer) int {
	word := "help"
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
			fmt.Fprintf(out, "%-22s %s\n", s.name, s.does)
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
		fmt.Fprint(out, help)
		return 0
	default:
		fmt.Fprintf(talk, "posdx-lab: no command %q\n\n%s", word, help)
		return 2
	}
	if err != nil {
		fmt.Fprintf(talk, "posdx-lab %s: %v\n", word, err)
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

func (o *options) flags(f *flag.FlagSet) {
	f.StringVar(&o.scenario, "scenario", "host-96", "what to break; posdx-lab scenarios lists them")
	f.BoolVar(&o.once, "once", false, "end after the diagnosis: exit code 0 if the first cause is the right one, else 1")
	f.StringVar(&o.lang, "lang", "zh", "language of the diagnosis, zh or en")
	f.Func("dir", "`folder` for sockets, logs and data (default \"run\")", func(dir string) (err error) {
		o.dir, err = filepath.Abs(dir) // the configuration of a terminal takes absolute paths only
		return err
	})
	o.dir, _ = filepath.Abs("run")
	f.StringVar(&o.bin, "bin", "bin", "folder of posdx and posdx-fleet")
	f.StringVar(&o.record, "record", "", "folder in which to keep event and evidence as a case")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "where the fleet page shall be; a free port if that one is taken")
	f.StringVar(&o.mqtt, "mqtt-listen", "127.0.0.1:1883", "where the fleet's broker shall be; a free port if that one is taken")
}

// args is the opposite of flags.
func (o *options) args() []string {
	return []string{"--scenario", o.scenario, fmt.Sprintf("--once=%v", o.once), "--lang", o.lang, "--dir", o.dir, "--bin", o.bin,
		"--record", o.record, "--listen", o.listen, "--mqtt-listen", o.mqtt}
}
