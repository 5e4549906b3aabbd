package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"posdx/agent/internal/say"
)

// shells are those that completion is made for.
var shells = []string{"bash", "zsh", "fish"}

func runCompletion(_ context.Context, s stdio, args []string) int {
	f := flags(s, "completion", "bash | zsh | fish",
		"Prints the completion of posdx for a shell: its commands and their options. The packages bring it; elsewhere put it\nwhere the shell looks.\n\nExit codes: 0 printed, 2 usage.",
		"posdx completion bash\nposdx completion zsh\nposdx completion fish")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) != 1 {
		f.Usage()
		return exitUsage
	}
	switch words[0] {
	case "bash":
		bashCompletion(s.out)
	case "zsh":
		zshCompletion(s.out)
	case "fish":
		fishCompletion(s.out)
	default:
		s.fail("completion", say.New("no-shell", words[0], strings.Join(shells, " ")))
		return exitUsage
	}
	return exitOK
}

// values are the words that an option may have, by its name.
var values = map[string]string{"lang": "zh en", "origin": "host terminal cashier unknown", "wait": "none first final", "encoding": "utf-8 gb18030", "framing": "8N1 7E1 7O1 8E1"}

func options(m manual) (list []*flag.Flag) {
	m.flags.VisitAll(func(o *flag.Flag) { list = append(list, o) })
	return list
}

// words are what may follow a command besides options.
func wordsOf(name string) string {
	switch name {
	case "config":
		return "check"
	case "completion":
		return strings.Join(shells, " ")
	case "help", "man":
		var names []string
		for _, c := range commands() {
			names = append(names, c.name)
		}
		return strings.Join(names, " ")
	}
	return ""
}

func bashCompletion(w io.Writer) {
	fmt.Fprintln(w, "# bash completion for posdx, made by posdx completion bash\n_posdx() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n\tcase $prev in")
	for name, of := range ordered(values) {
		fmt.Fprintf(w, "\t--%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", name, of)
	}
	fmt.Fprintf(w, "\tesac\n\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W 'help --version %s' -- \"$cur\")); return\n\tfi\n\tlocal words=\n\tcase ${COMP_WORDS[1]} in\n", wordsOf("help"))
	fmt.Fprintf(w, "\thelp) words='%s' ;;\n", wordsOf("help"))
	for _, c := range commands() {
		list := []string{}
		for _, o := range options(manualOf(c)) {
			list = append(list, "--"+o.Name)
		}
		if of := wordsOf(c.name); of != "" {
			list = append(list, of)
		}
		fmt.Fprintf(w, "\t%s) words='%s' ;;\n", c.name, strings.Join(append(list, "--help"), " "))
	}
	fmt.Fprintln(w, "\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _posdx posdx")
}

// ordered gives the entries of a table by their names.
func ordered(m map[string]string) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

func zshCompletion(w io.Writer) {
	fmt.Fprintln(w, "#compdef posdx\n# zsh completion for posdx, made by posdx completion zsh\n_posdx() {\n\tlocal -a commands\n\tcommands=(\n\t\t'help:tell of a command'")
	for _, c := range commands() {
		fmt.Fprintf(w, "\t\t%s\n", quoteShell(c.name+":"+c.does))
	}
	fmt.Fprintln(w, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $words[2] in")
	fmt.Fprintf(w, "\thelp) _values command %s ;;\n", wordsOf("help"))
	for _, c := range commands() {
		fmt.Fprintf(w, "\t%s) _arguments", c.name)
		for _, o := range options(manualOf(c)) {
			kind, usage := flag.UnquoteUsage(o)
			spec := "--" + o.Name + "[" + strings.NewReplacer("[", "(", "]", ")", "\n", " ").Replace(usage) + "]"
			if kind != "" {
				spec += ":" + strings.ReplaceAll(kind, ":", ".") + ":"
				if of := values[o.Name]; of != "" {
					spec += "(" + of + ")"
				} else {
					spec += "_files"
				}
			}
			fmt.Fprintf(w, " \\\n\t\t%s", quoteShell(spec))
		}
		if of := wordsOf(c.name); of != "" {
			fmt.Fprintf(w, " \\\n\t\t%s", quoteShell("*:word:("+of+")"))
		} else {
			fmt.Fprintf(w, " \\\n\t\t'*:file:_files'")
		}
		fmt.Fprintln(w, " ;;")
	}
	fmt.Fprintln(w, "\tesac\n}\n_posdx \"$@\"")
}

func fishCompletion(w io.Writer) {
	fmt.Fprintln(w, "# fish completion for posdx, made by posdx completion fish\ncomplete -c posdx -n __fish_use_subcommand -f -a help -d 'tell of a command'")
	for _, c := range commands() {
		fmt.Fprintf(w, "complete -c posdx -n __fish_use_subcommand -f -a %s -d %s\n", c.name, quoteShell(c.does))
		for _, o := range options(manualOf(c)) {
			kind, usage := flag.UnquoteUsage(o)
			fmt.Fprintf(w, "complete -c posdx -n '__fish_seen_subcommand_from %s' -l %s -d %s", c.name, o.Name, quoteShell(usage))
			if of := values[o.Name]; of != "" {
				fmt.Fprintf(w, " -x -a '%s'", of)
			} else if kind != "" {
				fmt.Fprint(w, " -r")
			}
			fmt.Fprintln(w)
		}
		if of := wordsOf(c.name); of != "" {
			fmt.Fprintf(w, "complete -c posdx -n '__fish_seen_subcommand_from %s' -f -a '%s'\n", c.name, of)
		}
	}
}

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func runMan(_ context.Context, s stdio, args []string) int {
	f := flags(s, "man", "[COMMAND] | --dir DIR",
		"Prints the manual page of posdx or of one of its commands, in the form that man reads (man -l -). With --dir it writes\nall of them there; the packages bring them.\n\nExit codes: 0 done, 1 a page could not be written, 2 usage.",
		"posdx man check\nposdx man --dir man1")
	dir := f.String("dir", "", "write all pages into this `folder`")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 1 || *dir != "" && len(words) > 0 {
		f.Usage()
		return exitUsage
	}
	if *dir != "" {
		if err := writePages(*dir); err != nil {
			s.fail("man", err)
			return exitFailed
		}
		return exitOK
	}
	if len(words) == 0 {
		overviewPage(s.out)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == words[0] {
			commandPage(s.out, c)
			return exitOK
		}
	}
	s.fail("man", say.New("no-command", words[0]))
	return exitUsage
}

func writePages(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	overviewPage(&b)
	if err := os.WriteFile(filepath.Join(dir, "posdx.1"), []byte(b.String()), 0o644); err != nil {
		return err
	}
	for _, c := range commands() {
		b.Reset()
		commandPage(&b, c)
		if err := os.WriteFile(filepath.Join(dir, "posdx-"+c.name+".1"), []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// roff makes text harmless for troff.
func roff(s string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// paragraphs keeps empty lines as breaks between paragraphs and the others as they are.
func paragraphs(w io.Writer, s string) {
	for i, p := range strings.Split(s, "\n\n") {
		if i > 0 {
			fmt.Fprintln(w, ".PP")
		}
		fmt.Fprintln(w, roff(p))
	}
}

func overviewPage(w io.Writer) {
	fmt.Fprintf(w, ".TH POSDX 1 \"\" \"posdx %s\"\n.SH NAME\nposdx \\- finds out why a payment terminal could not complete a sale\n.SH SYNOPSIS\n.B posdx\n.I COMMAND\n[ARGUMENTS]\n.SH COMMANDS\n", roff(version))
	for _, c := range commands() {
		fmt.Fprintf(w, ".TP\n.BR posdx\\-%s (1)\n%s\n", roff(c.name), roff(c.does))
	}
	fmt.Fprintf(w, ".SH FILES\n.TP\n.I %s\nthe configuration; every key is described in the example beside it. Fragments in conf.d are read after it.\n", defaultConfig)
	fmt.Fprintf(w, ".SH EXIT STATUS\n0 well, 1 failed, 2 wrong usage; what else a command may end with stands on its own page.\n")
}

func commandPage(w io.Writer, c command) {
	m := manualOf(c)
	fmt.Fprintf(w, ".TH POSDX\\-%s 1 \"\" \"posdx %s\"\n.SH NAME\nposdx\\-%s \\- %s\n.SH SYNOPSIS\n.B posdx %s\n%s\n.SH DESCRIPTION\n", strings.ToUpper(c.name), roff(version), c.name, roff(c.does), c.name, roff(m.args))
	paragraphs(w, m.does)
	fmt.Fprintln(w, ".SH OPTIONS")
	for _, o := range options(m) {
		kind, usage := flag.UnquoteUsage(o)
		fmt.Fprintf(w, ".TP\n.BI \\-\\-%s \" %s\"\n%s\n", roff(o.Name), roff(kind), roff(usage))
	}
	fmt.Fprintf(w, ".SH EXAMPLES\n.nf\n%s\n.fi\n.SH SEE ALSO\n.BR posdx (1)\n", roff(m.example))
}
