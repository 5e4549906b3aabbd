// The command posdx finds out why a payment terminal could not complete a sale.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"posdx/agent/internal/say"
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
	speak string   // the language of errors whatever the command line says, for tests
}

// A command is one word after posdx.
type command struct {
	name, does string
	run        func(ctx context.Context, s stdio, args []string) int
}

// commands is the one table of them: help, completion and manual pages are made from it.
func commands() []command {
	return []command{
		{"doctor", "look whether posdx is installed and set up well here", runDoctor},
		{"status", "print what the daemon knows now", runStatus},
		{"check", "check devices and network now", runCheck},
		{"diagnose", "find the cause, here and now or of a recorded case", runDiagnose},
		{"guide", "find the cause question by question", runGuide},
		{"history", "list and print the diagnoses of this terminal", runHistory},
		{"code", "print what the tables say about a response code", runCode},
		{"decode", "read a hand-off code", runDecode},
		{"console", "the technician's console, here or on a serial line", runConsole},
		{"report", "hand a response code to the daemon, print the verdict", runReport},
		{"log", "show what patterns catch in a payment log, or propose some", runLog},
		{"bundle", "pack what the terminal knows of itself for support", runBundle},
		{"replay", "explain again what a support bundle holds", runReplay},
		{"reset", "restart a modem, if no sale can be lost by it", runReset},
		{"enroll", "get this terminal's certificate from the fleet", runEnroll},
		{"config", "check a configuration", runConfig},
		{"knowledge", "print or replace the code tables and weights", runKnowledge},
		{"run", "run the daemon", runDaemon},
		{"relay", "pass a serial line through, so that the daemon can hear it", runRelay},
		{"selfcheck", "tell whether this program could take over here, or did", runSelfcheck},
		{"completion", "print the completion of commands and options for a shell", runCompletion},
		{"man", "print or write the manual pages", runMan},
		{"version", "print the version and the knowledge inside", runVersion},
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
	if len(args) == 0 {
		usage(s.err)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		if len(args) == 1 {
			usage(s.out)
			return exitOK
		}
		args = []string{args[1], "--help"}
	case "-version", "--version", "-V":
		args[0] = "version"
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, s, args[1:])
		}
	}
	s.fail("", say.New("no-command", args[0]))
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "posdx finds out why a payment terminal could not complete a sale.\n\nusage: posdx COMMAND [ARGUMENTS]   (posdx help COMMAND tells more)")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-11s%s\n", c.name, c.does)
	}
}

// A manual is what a command says of itself: the source of its help, its completion and its manual page.
type manual struct {
	name, args, does, example string
	flags                     *flag.FlagSet
}

// Write makes a manual usable as a command's output. A command that finds one there describes its arguments in it and
// does nothing else.
func (m *manual) Write(p []byte) (int, error) { return len(p), nil }

// flags returns a flag set whose help names the arguments and gives an example.
func flags(s stdio, name, args, does, example string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(s.err)
	m := manual{name: name, args: args, does: does, example: example, flags: f}
	f.Usage = func() { m.print(f.Output()) }
	if asked, ok := s.out.(*manual); ok {
		*asked = m
	}
	return f
}

func (m *manual) print(w io.Writer) {
	fmt.Fprintf(w, "usage: posdx %s %s\n\n%s\n\nexample:\n  %s\n\noptions:\n", m.name, m.args, m.does, strings.ReplaceAll(m.example, "\n", "\n  "))
	m.flags.VisitAll(func(o *flag.Flag) {
		kind, usage := flag.UnquoteUsage(o)
		fmt.Fprintf(w, "  --%s\n        %s\n", strings.TrimSpace(o.Name+" "+kind), usage)
	})
}

// manualOf asks a command what it takes.
func manualOf(c command) manual {
	var m manual
	c.run(context.Background(), stdio{in: strings.NewReader(""), out: &m, err: io.Discard}, nil)
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
	f.SetOutput(io.Discard) // what it says is said here, in the language of whoever asked
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
