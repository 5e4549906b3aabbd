package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
	"unicode"

	"posdx/agent/internal/say"
	"posdx/agent/internal/source"
	"posdx/agent/internal/text"
	"posdx/codes"
)

// Exit code of posdx code for a code that no table has.
const exitUnknownCode = 1

// codeWidth is the width that posdx code wraps its lines to, in columns.
const codeWidth = 80

func runCode(_ context.Context, s stdio, args []string) int {
	f := flags(s, "code", "[--scheme S] [--json] CODE | --coverage | --lint PATH",
		"查应答码表：每个码表里的含义、来源、来源之间的分歧、由谁发出，以及别处的说法。\n"+
			"--coverage 列出每个已知原因和建议用在哪里；--lint 检查数据目录或知识包，指出哪里有错。\n"+
			"退出码：0 查到；1 哪个码表都没有，或 --lint 发现有错；2 用法不对。",
		"Prints what the tables say about a response code: every scheme, its sources and where they disagree, who sends it, and what is claimed about it elsewhere.\n"+
			"--coverage prints where every known cause and remedy went; --lint says what is wrong in a folder of data files or a knowledge pack, and where.\n"+
			"Exit codes: 0 found, 1 in no table or --lint found something, 2 usage.",
		"posdx code 97\nposdx code --scheme gicc-de --lang en 97\nposdx code --lint codes/data")
	scheme := f.String("scheme", "", "只查这个`码表`\nlook in this `table` only")
	asJSON := f.Bool("json", false, jsonUsage)
	coverage := f.Bool("coverage", false, "列出原因和建议的去处\nprint the coverage table")
	config := f.String("config", defaultConfig, "本机配置 `FILE`，用其中的知识包\nthe configuration `FILE` of the terminal, for its knowledge pack")
	lint := f.String("lint", "", "检查这个数据目录或知识包`PATH`\ncheck this folder or knowledge pack, a `PATH`")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	w := codeWriter{s: s, k: inForce(*config), lang: s.lang(), json: *asJSON}
	_, known := w.k.Scheme(*scheme)
	lone := len(words) == 0 && *scheme == ""
	problem := ""
	if len(words) == 1 {
		problem = source.CodeProblem(words[0])
	}
	switch {
	case problem != "":
		s.fail("code", say.New("code-is", say.Heard(problem)))
	case *scheme != "" && !known:
		s.fail("code", say.New("no-table", *scheme, strings.Join(w.searched(""), " ")))
	case *coverage && *lint == "" && lone:
		return w.coverage()
	case *lint != "" && !*coverage && lone:
		return w.lint(*lint)
	case !*coverage && *lint == "" && len(words) == 1 && words[0] != "":
		return w.code(*scheme, w.k.Canonical(*scheme, words[0]))
	default:
		misuse(s, f, words, 1)
	}
	return exitUsage
}

// A codeWriter prints knowledge in one language, as text or JSON.
type codeWriter struct {
	s    stdio
	k    *codes.Knowledge
	lang string
	json bool
}

func (w codeWriter) say(zh, en string) string { return codes.Text{ZH: zh, EN: en}.In(w.lang) }

func (w codeWriter) encode(v any) {
	e := json.NewEncoder(w.s.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	e.Encode(v)
}

// line prints a text at an indent, wrapped; the following lines are indented by as much.
func (w codeWriter) line(indent int, what string) {
	pad := strings.Repeat(" ", indent)
	for _, l := range text.Wrap(what, codeWidth-indent, 0) {
		fmt.Fprintln(w.s.out, pad+l)
	}
}

// The documents of posdx code --json.
type (
	codeJSON struct {
		Code     string        `json:"code"`
		Known    bool          `json:"known"`
		Searched []string      `json:"searched"`
		Meanings []meaningJSON `json:"meanings"`
		Claims   []claimJSON   `json:"claims"`
	}
	meaningJSON struct {
		Scheme   string   `json:"scheme"`
		Title    string   `json:"title"`
		Code     string   `json:"code"`
		Meaning  string   `json:"meaning"`
		Class    string   `json:"class"`
		Domain   string   `json:"domain"`
		Retry    string   `json:"retry"`
		Maps     string   `json:"maps,omitempty"`
		SentBy   []string `json:"sent_by"`
		Writers  []string `json:"writers"`
		Sources  []string `json:"sources"`
		Disputed bool     `json:"disputed"`
		Note     string   `json:"note,omitempty"`
	}
	claimJSON struct {
		Seed    string `json:"seed"`
		Claim   string `json:"claim"`
		Verdict string `json:"verdict"`
		Finding string `json:"finding"`
	}
	coverageJSON struct {
		ID            string   `json:"id"`
		What          string   `json:"what"`
		Seeds         []string `json:"seeds"`
		Causes        []string `json:"causes"`
		Checks        []string `json:"checks"`
		Remedies      []string `json:"remedies"`
		NotObservable string   `json:"not_observable,omitempty"`
	}
	problemJSON struct {
		File string `json:"file"`
		Line int    `json:"line"`
		What string `json:"what"`
	}
)

// searched returns the tables that are looked in.
func (w codeWriter) searched(scheme string) []string {
	if scheme != "" {
		return []string{scheme}
	}
	var names []string
	for _, s := range w.k.Schemes {
		names = append(names, s.Name)
	}
	return names
}

// code prints one code and returns the exit code.
func (w codeWriter) code(scheme, code string) int {
	d := codeJSON{Code: code, Searched: w.searched(scheme), Meanings: []meaningJSON{}, Claims: []claimJSON{}}
	for _, m := range w.k.All(code) {
		if scheme != "" && m.Scheme != scheme {
			continue
		}
		s, _ := w.k.Scheme(m.Scheme)
		d.Meanings = append(d.Meanings, meaningJSON{m.Scheme, s.Title.In(w.lang), m.Code, m.Text.In(w.lang), m.Class,
			m.Domain, m.Retry,
			m.Maps, list(m.SentBy), list(s.Writers), list(m.Sources), m.Disputed, m.Note})
	}
	d.Known = len(d.Meanings) > 0
	// What most sources print comes first.
	sort.SliceStable(d.Meanings, func(i, j int) bool { return len(d.Meanings[i].Sources) > len(d.Meanings[j].Sources) })
	for _, c := range w.k.Claims {
		if slices.Contains(c.Codes, code) || !d.Known && slices.Contains(c.Codes, "unknown") {
			d.Claims = append(d.Claims, claimJSON{c.Seed, c.Claim.In(w.lang), c.Verdict, c.Finding.In(w.lang)})
		}
	}
	exit := exitOK
	if !d.Known {
		exit = exitUnknownCode
	}
	if w.json {
		w.encode(d)
		return exit
	}
	if !d.Known {
		w.line(0, fmt.Sprintf(w.say("应答码 %q 不在任何码表里。查过：%s", "Code %q is in no table. Searched: %s"), code, strings.Join(d.Searched, " ")))
	}
	for i, m := range d.Meanings {
		if i > 0 {
			fmt.Fprintln(w.s.out)
		}
		w.meaning(m)
	}
	if len(d.Claims) > 0 {
		fmt.Fprintln(w.s.out)
		w.line(0, w.say("网上文章的说法与查证：", "What articles claim, and what the sources say:"))
		for _, c := range d.Claims {
			w.line(2, fmt.Sprintf(w.say("[%s] 文章%s：%s", "[%s] article %s: %s"), w.verdict(c.Verdict), c.Seed, c.Claim))
			w.line(4, c.Finding)
		}
	}
	return exit
}

func (w codeWriter) meaning(m meaningJSON) {
	w.line(0, fmt.Sprintf("%s  %s  %s", m.Scheme, m.Code, m.Title))
	w.line(2, m.Meaning)
	if m.Class != "" {
		w.line(2, w.say("类别：", "class: ")+w.class(m.Class))
	}
	if len(m.SentBy) > 0 {
		w.line(2, w.say("谁发出：", "sent by: ")+w.words(m.SentBy))
	} else {
		w.line(2, w.say("谁发出：来源未说明；此表的码来自", "sent by: no source says; codes of this table come from ")+w.words(m.Writers))
	}
	w.line(2, w.say("问题所在：", "fault: ")+w.word(m.Domain)+w.say("；重试：", "; retry: ")+w.word(m.Retry))
	switch never := m.Class == "C" || m.Class == "E"; {
	case never && m.Retry == "yes":
		w.line(2, w.say("类别说“不要重试”，是指不要马上连续重刷；故障过去之后可以再试一笔。",
			"The class says not to retry: not at once and not again and again. Once the fault has passed one more try is in order."))
	case m.Class == "B" && m.Retry == "no":
		w.line(2, w.say("类别说可重试，是指改正之后重做；原样重刷没有用。",
			"The class says that it may be tried again: after what was wrong is put right. The same again does not help."))
	}
	if m.Maps != "" {
		w.line(2, w.say("相当于39域：", "field 39: ")+m.Maps)
	}
	if m.Disputed {
		w.line(2, w.say("有争议：各来源说法不一。", "disputed: the sources disagree."))
	}
	w.line(2, fmt.Sprintf(w.say("来源（%d）：%s", "sources (%d): %s"), len(m.Sources), strings.Join(m.Sources, " ")))
	// Notes quote the sources; those without Chinese are left to readers of English.
	if m.Note != "" && (w.lang == "en" ||
		strings.ContainsFunc(m.Note, func(r rune) bool { return unicode.Is(unicode.Han, r) })) {
		w.line(2, w.say("备注：", "note: ")+m.Note)
	}
}

// class returns a class of the tables for people: behind the letter, where the table has letters.
func (w codeWriter) class(c string) string {
	said := codes.Builtin().Word("class", c).In(w.lang)
	if len(c) == 1 {
		return c + " " + said
	}
	return said
}

// word returns a word of the tables for people.
func (w codeWriter) word(id string) string {
	switch id {
	case "none":
		return w.say("没有故障", "none")
	case "unknown":
		return w.say("不明", "unknown")
	case "operator":
		return w.say("操作", "operation")
	case "card-medium":
		return w.say("卡片", "the card")
	case "cardholder-account":
		return w.say("持卡人账户", "the cardholder's account")
	case "issuer":
		return w.say("发卡行", "the issuer")
	case "risk":
		return w.say("风险控制", "risk control")
	case "scheme-switch", "switch":
		return w.say("卡组织等转接网络", "the switch")
	case "acquirer-host", "acquirer":
		return w.say("收单机构", "the acquirer")
	case "merchant-config":
		return w.say("商户登记", "the merchant's registration")
	case "terminal-config":
		return w.say("终端参数或登记", "the terminal's settings or registration")
	case "terminal-keys":
		return w.say("终端密钥", "the terminal's keys")
	case "terminal-hardware":
		return w.say("终端硬件", "the terminal's hardware")
	case "network-path":
		return w.say("网络", "the network")
	case "terminal":
		return w.say("终端", "the terminal")
	case "cashier":
		return w.say("收银软件", "cashier software")
	case "no":
		return w.say("否", "no")
	case "yes":
		return w.say("可以", "yes")
	case "after-signin":
		return w.say("签到后", "after sign-in")
	case "after-reversal":
		return w.say("冲正后", "after the reversal")
	}
	return id
}

func (w codeWriter) words(ids []string) string {
	var words []string
	for _, id := range ids {
		words = append(words, w.word(id))
	}
	return strings.Join(words, w.say("、", ", "))
}

func (w codeWriter) verdict(v string) string {
	switch v {
	case "true":
		return w.say("对", "true")
	case "false":
		return w.say("错", "false")
	case "partly":
		return w.say("部分对", "partly")
	}
	return w.say("无法证实", "unprovable")
}

// coverage prints where every cause and remedy of the seed articles went.
func (w codeWriter) coverage() int {
	rows := []coverageJSON{}
	for _, c := range w.k.Coverage {
		rows = append(rows, coverageJSON{c.ID, c.What.In(w.lang), list(c.Seeds), list(c.Causes), list(c.Checks),
			list(c.Remedies), c.Hidden.In(w.lang)})
	}
	if w.json {
		w.encode(rows)
		return exitOK
	}
	for _, r := range rows {
		w.line(0, r.ID+"  "+r.What)
		if len(r.Causes) > 0 {
			w.line(4, w.say("原因：", "cause: ")+strings.Join(r.Causes, " "))
		}
		if len(r.Checks) > 0 {
			w.line(4, w.say("检查：", "check: ")+strings.Join(r.Checks, " "))
		}
		if len(r.Remedies) > 0 {
			w.line(4, w.say("建议：", "advice: ")+strings.Join(r.Remedies, " "))
		}
		if r.NotObservable != "" {
			w.line(4, w.say("终端内无法观察或不作建议：", "not observable from inside, or no advice: ")+r.NotObservable)
		}
	}
	return exitOK
}

// lint prints what is wrong in a folder of data files or in a pack.
func (w codeWriter) lint(path string) int {
	files, err := openData(path)
	if err != nil {
		w.s.fail("code", err)
		return exitFailed
	}
	k, problems := codes.Parse(files)
	list := []problemJSON{}
	for _, p := range problems {
		list = append(list, problemJSON{p.File, p.Line, p.What.In(w.lang)})
	}
	exit := exitOK
	if len(list) > 0 {
		exit = exitFailed
	}
	if w.json {
		w.encode(list)
		return exit
	}
	for _, p := range list {
		fmt.Fprintf(w.s.out, "%s:%d: %s\n", p.File, p.Line, p.What)
	}
	if exit == exitOK {
		fmt.Fprintf(w.s.out, w.say("没有问题：版本 %s，%d 个码，%d 个原因，%s\n", "no problem: version %s, %d codes, %d causes, %s\n"),
			k.Version, len(k.Meanings), len(k.Causes), k.Hash)
	}
	return exit
}

// openData opens a folder, or a knowledge pack whoever signed it.
func openData(path string) (fs.FS, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return os.DirFS(path), nil
	}
	if info.Size() > codes.MaxPack {
		return nil, say.New("pack-large", path, codes.MaxPack)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	files, err := codes.OpenPack(b)
	if err != nil {
		return nil, errors.Join(say.New("pack-none", path), err)
	}
	return files, nil
}

// list makes an empty list of a missing one, so that JSON holds [] and never null.
func list(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}
