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
		"输出某种命令行的补全脚本，包含 posdx 的命令和选项，说明文字有中英文两种，按使用者的环境选用。安装包里已经带有；没有时请放到该命令行查找的目录。\n退出码：0 已输出；2 用法不对。",
		"Prints the completion of posdx for a shell: its commands and their options, described in the language of whoever uses it. The packages bring it; elsewhere put it where the shell looks.\nExit codes: 0 printed, 2 usage.",
		"posdx completion bash\nposdx completion zsh\nposdx completion fish")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) != 1 {
		misuse(s, f, words, 1)
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
var values = map[string]string{"lang": "zh en", "origin": "host terminal cashier unknown", "wait": "none first final", "encoding": "utf-8 gb18030", "framing": "8N1 7E1 7O1 8E1", "charset": "utf-8 gbk"}

func options(m manual) (list []*flag.Flag) {
	m.flags.VisitAll(func(o *flag.Flag) { list = append(list, o) })
	return list
}

// words are what may follow a command besides options.
func wordsOf(name string) string {
	switch name {
	case "config":
		return "check"
	case "log":
		return "try suggest"
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

// zshCompletion and fishCompletion describe commands and options in the language of whoever uses them, as the
// environment says it there.
func zshCompletion(w io.Writer) {
	fmt.Fprintln(w, "#compdef posdx\n# zsh completion for posdx, made by posdx completion zsh\n_posdx() {\n\tcase ${LC_ALL:-${LC_MESSAGES:-$LANG}} in\n\ten*) _posdx_en ;;\n\t*) _posdx_zh ;;\n\tesac\n}")
	for _, lang := range []string{"en", "zh"} {
		zshIn(w, lang)
	}
	fmt.Fprintln(w, "_posdx \"$@\"")
}

func zshIn(w io.Writer, lang string) {
	s := stdio{speak: lang}
	fmt.Fprintf(w, "_posdx_%s() {\n\tlocal -a commands\n\tcommands=(\n\t\t'help:%s'\n", lang, s.helpDoes())
	for _, c := range commands() {
		fmt.Fprintf(w, "\t\t%s\n", quoteShell(c.name+":"+s.say(c.zh, c.en)))
	}
	fmt.Fprintln(w, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $words[2] in")
	fmt.Fprintf(w, "\thelp) _values command %s ;;\n", wordsOf("help"))
	for _, c := range commands() {
		fmt.Fprintf(w, "\t%s) _arguments", c.name)
		for _, o := range options(manualOf(c)) {
			kind, usage := s.usage(o)
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
	fmt.Fprintln(w, "\tesac\n}")
}

func (s stdio) helpDoes() string { return s.say("查看一个命令的说明", "tell of a command") }

func fishCompletion(w io.Writer) {
	fmt.Fprintln(w, "# fish completion for posdx, made by posdx completion fish\nset -l locale $LC_ALL $LC_MESSAGES $LANG ''\nif string match -q 'en*' -- $locale[1]")
	fishIn(w, "en")
	fmt.Fprintln(w, "else")
	fishIn(w, "zh")
	fmt.Fprintln(w, "end")
}

func fishIn(w io.Writer, lang string) {
	s := stdio{speak: lang}
	fmt.Fprintf(w, "complete -c posdx -n __fish_use_subcommand -f -a help -d '%s'\n", s.helpDoes())
	for _, c := range commands() {
		fmt.Fprintf(w, "complete -c posdx -n __fish_use_subcommand -f -a %s -d %s\n", c.name, quoteShell(s.say(c.zh, c.en)))
		for _, o := range options(manualOf(c)) {
			kind, usage := s.usage(o)
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
		"输出 posdx 或其中一个命令的手册页，供 man 阅读（man -l -）。--dir 把全部手册页写到目录里；安装包里已经带有。\n退出码：0 完成；1 有一页写不了；2 用法不对。",
		"Prints the manual page of posdx or of one of its commands, in the form that man reads (man -l -). With --dir it writes all of them there; the packages bring them.\nExit codes: 0 done, 1 a page could not be written, 2 usage.",
		"posdx man check\nposdx man --dir man1")
	dir := f.String("dir", "", "把全部手册页写到这个`目录`\nwrite all pages into this `folder`")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 1 || *dir != "" && len(words) > 0 {
		misuse(s, f, words, 1)
		return exitUsage
	}
	if *dir != "" {
		if err := s.writePages(*dir); err != nil {
			s.fail("man", err)
			return exitFailed
		}
		return exitOK
	}
	if len(words) == 0 {
		s.overviewPage(s.out)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == words[0] {
			s.commandPage(s.out, c)
			return exitOK
		}
	}
	s.fail("man", say.New("no-command", words[0]))
	return exitUsage
}

func (s stdio) writePages(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	s.overviewPage(&b)
	if err := os.WriteFile(filepath.Join(dir, "posdx.1"), []byte(b.String()), 0o644); err != nil {
		return err
	}
	for _, c := range commands() {
		b.Reset()
		s.commandPage(&b, c)
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

// The pages, in both languages; what is put into them is said at each use.
const (
	overviewZH = ".TH POSDX 1 \"\" \"posdx %s\"\n.nh\n.ad l\n.SH 名称\nposdx \\- 查找支付终端交易失败的原因\n.SH 概述\n.B posdx\n.I 命令\n[参数]\n.SH 命令\n%s" +
		".SH 文件\n.TP\n.I %s\n配置；每一项在旁边的样例里都有说明。conf.d 里的片段在它之后读取。\n" +
		".SH 退出状态\n0 正常，1 失败，2 用法不对；其他的见各命令的手册页。\n"
	overviewEN = ".TH POSDX 1 \"\" \"posdx %s\"\n.nh\n.ad l\n.SH NAME\nposdx \\- finds out why a payment terminal could not complete a sale\n.SH SYNOPSIS\n.B posdx\n.I COMMAND\n[ARGUMENTS]\n.SH COMMANDS\n%s" +
		".SH FILES\n.TP\n.I %s\nthe configuration; every key is described in the example beside it. Fragments in conf.d are read after it.\n" +
		".SH EXIT STATUS\n0 well, 1 failed, 2 wrong usage; what else a command may end with stands on its own page.\n"
	pageZH = ".TH POSDX\\-%s 1 \"\" \"posdx %s\"\n.nh\n.ad l\n.SH 名称\nposdx\\-%s \\- %s\n.SH 概述\n.B posdx %[3]s\n%[5]s\n.SH 说明\n%[6]s\n.SH 选项\n%[7]s.SH 示例\n.nf\n%[8]s\n.fi\n.SH 参见\n.BR posdx (1)\n"
	pageEN = ".TH POSDX\\-%s 1 \"\" \"posdx %s\"\n.nh\n.ad l\n.SH NAME\nposdx\\-%s \\- %s\n.SH SYNOPSIS\n.B posdx %[3]s\n%[5]s\n.SH DESCRIPTION\n%[6]s\n.SH OPTIONS\n%[7]s.SH EXAMPLES\n.nf\n%[8]s\n.fi\n.SH SEE ALSO\n.BR posdx (1)\n"
)

func (s stdio) overviewPage(w io.Writer) {
	var list strings.Builder
	for _, c := range commands() {
		fmt.Fprintf(&list, ".TP\n.BR posdx\\-%s (1)\n%s\n", roff(c.name), roff(s.say(c.zh, c.en)))
	}
	fmt.Fprintf(w, s.say(overviewZH, overviewEN), roff(version), list.String(), defaultConfig)
}

func (s stdio) commandPage(w io.Writer, c command) {
	m := manualOf(c)
	var list strings.Builder
	for _, o := range options(m) {
		kind, usage := s.usage(o)
		fmt.Fprintf(&list, ".TP\n.BI \\-\\-%s \" %s\"\n%s\n", roff(o.Name), roff(kind), roff(usage))
	}
	fmt.Fprintf(w, s.say(pageZH, pageEN), strings.ToUpper(c.name), roff(version), c.name, roff(s.say(c.zh, c.en)),
		roff(m.args), strings.ReplaceAll(roff(s.say(m.zh, m.en)), "\n", "\n.PP\n"), list.String(), roff(m.example))
}
