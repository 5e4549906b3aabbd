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

	"posdx/fleet/api"
	"posdx/fleet/metrics"
)

// version is set by the linker.
var version = "dev"

// Exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// defaultData is the data directory of a fleet that was told no other.
const defaultData = "fleet-data"

// stdio is where a command writes: results on out, talk on err.
type stdio struct {
	out, err io.Writer
}

// A command is one word after posdx-fleet.
type command struct {
	name, does string
	run        func(ctx context.Context, s stdio, args []string) int
}

func commands() []command {
	return []command{
		{"serve", "take in what terminals report, keep it and show it", runServe},
		{"ingest", "take documents in as one of several workers", runIngest},
		{"list", "list the newest diagnoses of a running fleet", runList},
		{"show", "show what a running fleet knows of one terminal", runShow},
		{"localise", "name what the failures of one moment have in common, from a CSV file", runLocalise},
		{"account", "who may sign in: list, add, change", runAccount},
		{"token", "tokens of programs: list, add, revoke", runToken},
		{"enroll", "certificates of terminals: tokens, what was issued, revocation", runEnroll},
		{"inventory", "what terminals share with others: take a list in", runInventory},
		{"mcp", "show a running fleet to an assistant, read only", runMCP},
		{"audit", "print the audit log, and prove that nothing in it was changed", runAudit},
		{"backup", "keep a copy of everything while the fleet runs", runBackup},
		{"restore", "make a data directory of such a copy", runRestore},
		{"store", "look at a store, or take it back to the release before", runStore},
		{"notify", "check who is told of incidents, or try it", runNotify},
		{"openapi", "print the description of the JSON", printer("openapi", "Prints the description of the JSON, OpenAPI 3.1.", api.OpenAPI)},
		{"rules", "print alerting rules for Prometheus", printer("rules", "Prints alerting rules for Prometheus over this fleet's metrics.", metrics.Rules)},
		{"dashboard", "print a dashboard for Grafana", printer("dashboard", "Prints a dashboard to import into Grafana.", metrics.Dashboard)},
		{"advisory-key", "make or show the key that signs what terminals are told", runAdvisoryKey},
		{"version", "print the version and the knowledge inside", runVersion},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, stdio{os.Stdout, os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, s stdio, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		w := s.out
		if len(args) == 0 {
			w = s.err
		}
		fmt.Fprintln(w, "posdx-fleet shows what is wrong with which payment terminals, and why.\n\nusage: posdx-fleet COMMAND [ARGUMENTS]   (posdx-fleet COMMAND --help tells more)")
		for _, c := range commands() {
			fmt.Fprintf(w, "  %-12s %s\n", c.name, c.does)
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
	fmt.Fprintf(s.err, "posdx-fleet: no command %q; posdx-fleet help lists them\n", args[0])
	return exitUsage
}

// flags returns a flag set whose help names the arguments and gives an example.
func flags(s stdio, name, args, does, example string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(s.err)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: posdx-fleet %s %s\n\n%s\n\nexample:\n  %s\n\noptions:\n", name, args, does, strings.ReplaceAll(example, "\n", "\n  "))
		f.VisitAll(func(o *flag.Flag) {
			kind, usage := flag.UnquoteUsage(o)
			if o.DefValue != "" && o.DefValue != "false" && !strings.Contains(usage, "(default") {
				usage += " (default " + o.DefValue + ")"
			}
			fmt.Fprintf(f.Output(), "  --%s %s\n        %s\n", o.Name, kind, usage)
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
			break
		}
		words = append(words, f.Arg(0))
		args = f.Args()[1:]
	}
	if len(words) < least || len(words) > most {
		want := fmt.Sprint(least)
		if most != least {
			want = fmt.Sprintf("%d to %d", least, most)
		}
		fmt.Fprintf(s.err, "posdx-fleet %s: %d arguments, want %s\n\n", f.Name(), len(words), want)
		f.Usage()
		return nil, exitUsage, false
	}
	return words, exitOK, true
}

// printer is a command that prints a document.
func printer(name, does string, doc func() []byte) func(context.Context, stdio, []string) int {
	return func(_ context.Context, s stdio, args []string) int {
		f := flags(s, name, "", does, "posdx-fleet "+name+" >FILE")
		if _, code, ok := parse(s, f, args, 0); !ok {
			return code
		}
		if _, err := s.out.Write(doc()); err != nil {
			return failed(s, name, err)
		}
		return exitOK
	}
}

// failed prints why a command ends and returns its exit code.
func failed(s stdio, name string, err error) int {
	fmt.Fprintf(s.err, "posdx-fleet %s: %v\n", name, err)
	return exitFailed
}
