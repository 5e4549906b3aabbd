// The command posdx finds out why a payment terminal could not complete a sale.
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
}

// A command is one word after posdx.
type command struct {
	name, does string
	run        func(ctx context.Context, s stdio, args []string) int
}

func commands() []command {
	return []command{
		{"code", "print what the tables say about a response code", runCode},
		{"config", "check a configuration file", runConfig},
		{"run", "run the daemon", runDaemon},
		{"report", "hand a response code to the daemon, print the verdict", runReport},
		{"status", "print what the daemon knows now", runStatus},
		{"check", "check devices and network now", runCheck},
		{"console", "the technician's console, here or on a serial line", runConsole},
		{"diagnose", "find the cause, here and now or of a recorded case", runDiagnose},
		{"guide", "find the cause question by question", runGuide},
		{"decode", "read a hand-off code", runDecode},
		{"relay", "pass a serial line through, so that the daemon can hear it", runRelay},
		{"bundle", "pack what the terminal knows of itself for support", runBundle},
		{"replay", "explain again what a support bundle holds", runReplay},
		{"reset", "restart a modem, if no sale can be lost by it", runReset},
		{"knowledge", "print or replace the code tables and weights", runKnowledge},
		{"selfcheck", "tell whether this program could take over here, or did", runSelfcheck},
		{"version", "print the version and the knowledge inside", runVersion},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, stdio{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, s stdio, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		w := s.out
		if len(args) == 0 {
			w = s.err
		}
		fmt.Fprintln(w, "posdx finds out why a payment terminal could not complete a sale.\n\nusage: posdx COMMAND [ARGUMENTS]   (posdx COMMAND --help tells more)")
		for _, c := range commands() {
			fmt.Fprintf(w, "  %-11s%s\n", c.name, c.does)
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
	fmt.Fprintf(s.err, "posdx: no command %q; posdx help lists them\n", args[0])
	return exitUsage
}

// flags returns a flag set whose help names the arguments and gives an example.
func flags(s stdio, name, args, does, example string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(s.err)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: posdx %s %s\n\n%s\n\nexample:\n  %s\n\noptions:\n", name, args, does, strings.ReplaceAll(example, "\n", "\n  "))
		f.VisitAll(func(o *flag.Flag) {
			kind, usage := flag.UnquoteUsage(o)
			fmt.Fprintf(f.Output(), "  --%s %s\n        %s\n", o.Name, kind, usage)
		})
	}
	return f
}

// parse reads flags wherever they stand among the words and returns the words. When it returns false the command is
// over and code is its exit code: help was asked for (on stdout, 0) or the usage was wrong (on stderr, 2).
func parse(s stdio, f *flag.FlagSet, args []string) (words []string, code int, ok bool) {
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
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, exitOK, false
			}
			return nil, exitUsage, false
		}
		if f.NArg() == 0 {
			return words, exitOK, true
		}
		done := len(args) > f.NArg() && args[len(args)-f.NArg()-1] == "--"
		if done {
			return append(words, f.Args()...), exitOK, true
		}
		words = append(words, f.Arg(0))
		args = f.Args()[1:]
	}
}
