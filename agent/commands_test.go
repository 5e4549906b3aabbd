package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// hasFlag tells whether a command takes an option.
func hasFlag(m manual, name string) bool { return m.flags.Lookup(name) != nil }

// Every example in the help of a command does what it says: none is wrong usage, and all that can work here do.
func TestExamplesInHelp(t *testing.T) {
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := configured(t, dir, "[[modem]]\nname = \"modem0\"\nport = \"/dev/ttyNONE\"\n")
	c, _, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	client, stop := startIn(t, c)
	stopped := false
	defer func() {
		if !stopped {
			stop()
		}
	}()
	for _, code := range []string{"97", "96"} {
		ask(t, client, map[string]any{"type": "code", "code": code, "origin": "host", "wait": "final"})
	}
	put := func(name, from string) {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("case.json", "diagnose/testdata/cases/wan-mtu.json")
	t.Chdir(dir)
	if code, _, talk := cli(t, "bundle", "--config", file, filepath.Join(dir, "t1.zip")); code != exitOK {
		t.Fatal(talk)
	}
	// What cannot succeed here ends in a refusal that says why, not in wrong usage.
	other := map[string]int{
		"posdx console --lang en":                        exitFailed, // no terminal
		"posdx reset modem0 --lang en":                   exitRefused,
		"posdx enroll --url https://fleet.example.com":   exitFailed, // no CA there
		"posdx knowledge /tmp/knowledge-2027.01.15.pack": exitFailed,
		"posdx config check --strict --json FILE":        exitBad, // the modem is not plugged in
		"posdx bundle /media/usb/t1.zip":                 exitFailed,
		"posdx relay --device /dev/ttyS1":                exitFailed,
		"posdx console --tty /dev/ttyS1 --baud 9600":     exitOK, // until it is told to stop
	}
	seen := 0
	for _, cmd := range commands() {
		m := manualOf(cmd)
		if m.example == "" || m.zh == "" || m.en == "" {
			t.Errorf("posdx %s has no example or no help", cmd.name)
		}
		for _, example := range strings.Split(m.example, "\n") {
			seen++
			stdin := ""
			line := example
			if before, after, piped := strings.Cut(example, " | "); piped {
				text := strings.Trim(strings.TrimPrefix(before, "printf "), "'")
				stdin, line = strings.ReplaceAll(text, `\n`, "\n"), after
			}
			line = strings.ReplaceAll(line, defaultConfig, "FILE")
			args := strings.Fields(line)
			if args[0] != "posdx" || args[1] != cmd.name {
				t.Errorf("%q is no example of posdx %s", example, cmd.name)
				continue
			}
			args = args[1:]
			for i, a := range args {
				switch {
				case a == "FILE":
					args[i] = file
				case a == "codes/data":
					args[i] = filepath.Join(home, "../codes/data")
				}
			}
			if hasFlag(m, "config") && !slices.Contains(args, "--config") {
				args = append(args, "--config", file)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if cmd.name == "console" || cmd.name == "relay" {
				cancel() // they go on until they are told to stop
			}
			if cmd.name == "run" {
				stop()
				stopped = true
				cancel()
			}
			if strings.HasPrefix(line, "posdx selfcheck --live") {
				args[2] = "1"
			}
			var out, talk housetest.Buffer
			code := run(ctx, stdio{in: strings.NewReader(stdin), out: &out, err: &talk, speak: "en"}, args)
			cancel()
			if cmd.name != "completion" { // which speaks both languages
				if said := out.String() + talk.String(); housetest.HasHan(said) {
					t.Errorf("%s: Chinese in %s", example, said)
				}
				inChinese(t, args, stdin)
			}
			want := exitOK
			for begins, exit := range other {
				if strings.HasPrefix(line, begins) {
					want = exit
				}
			}
			fine := code == want || want == exitOK && slices.Contains([]int{exitAbstain, exitBad, exitCannotTell, exitNotRun},
				code)
			if cmd.name == "selfcheck" && stopped {
				fine = code != exitUsage
			}
			if !fine {
				t.Errorf("%s: exit %d, want %d\n%s%s", example, code, want, out.String(), talk.String())
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d examples", seen)
	}
}

// inChinese runs a command in Chinese and looks for an English sentence in what it says.
func inChinese(t *testing.T, args []string, stdin string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if slices.Contains([]string{"console", "relay", "run"}, args[0]) {
		cancel()
	}
	var out, talk housetest.Buffer
	s := stdio{in: strings.NewReader(stdin), out: &out, err: &talk, speak: "en"}
	run(ctx, s, append(slices.Clone(args), "--lang", "zh"))
	for _, l := range sentences(out.String() + talk.String()) {
		t.Errorf("posdx %s in Chinese: %s", strings.Join(args, " "), l)
	}
}

// sentence is a few English words after one another.
var sentence = regexp.MustCompile(`[A-Za-z][a-z]+(?:,? [a-z]+){3,}`)

// sentences lists the lines of a Chinese output that have an English sentence in them: not those of a log, nor
// commands.
func sentences(said string) (list []string) {
	for l := range strings.Lines(said) {
		if sentence.MatchString(l) && !strings.Contains(l, "level=") && !strings.HasPrefix(strings.TrimSpace(l), "posdx ") {
			list = append(list, l)
		}
	}
	return list
}

// Wrong values are errors, said before anything is sent.
func TestWrongValuesAreErrors(t *testing.T) {
	client, _, stop := start(t, "")
	defer stop()
	at := " --socket " + client.Path
	for _, c := range []struct{ args, says string }{
		{"check nosuch" + at, "no check is called nosuch; there are app.process board."},
		{"report --code 96 --origin bank" + at, "origin: want one of host"},
		{"report --code 96 --scheme unionpai" + at, `no code table "unionpai"; there are`},
		{"report --code 96 --txn amount=100" + at, "txn amount"},
		{"report --code 96 --txn entry=swipe" + at, "txn entry: want one of chip"},
		{"report --code 96 --txn mti=21" + at, "txn mti: want 4 digits"},
		{"report --code 96 --txn sent=perhaps" + at, "txn sent: want true or false"},
		{"report --code 96 --wait long" + at, "wait: want one of none"},
		{"report --code 96 --timeout 0s" + at, "--timeout"},
		{"report --code 96 --timeout soon" + at, "timeout"},
		{"diagnose --code 96 --origin bank" + at, "origin: want one of host"},
		{"diagnose --scheme unionpai" + at, `no code table "unionpai"`},
		{"diagnose --lang fr" + at, `no language "fr"`},
		{"history --since yesterday", "is no time"},
		{"completion tcsh", "there are bash zsh fish"},
		{"man nothing", "no command"},
		{"nothing", "no command"},
		{"help nothing", "no command"},
	} {
		code, out, talk := cli(t, strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(talk, c.says) || out != "" {
			t.Errorf("posdx %s: exit %d, stdout %q, stderr %q; want %q", c.args, code, out, talk, c.says)
		}
	}
	if st, err := client.State(t.Context()); err != nil || st.Last != nil {
		t.Errorf("something was sent: %v, %v", st.Last, err)
	}
	for _, args := range [][]string{{"--version"}, {"-V"}, {"version"}} {
		if code, out, _ := cli(t, args...); code != exitOK || !strings.Contains(out, "posdx "+version) {
			t.Errorf("%v: exit %d, %s", args, code, out)
		}
	}
	if code, out, _ := cli(t, "help", "history"); code != exitOK || !strings.Contains(out, "usage: posdx history") {
		t.Errorf("help history: exit %d, %s", code, out)
	}
}

// Wrong usage says what is wrong before it says what is right, in both languages.
func TestWrongUsageNamesWhatIsWrong(t *testing.T) {
	for args, want := range map[string]string{
		"status extra": `"extra"`, "check net --timeout 0s": "--timeout", "doctor a": `"a"`, "report 96 97": `"96"`, "bundle a b": `"b"`,
		"replay a b": `"b"`, "history a b": `"b"`, "console --charset ascii": `--charset "ascii"`, "console a": `"a"`, "run a": `"a"`,
		"diagnose a": `"a"`, "guide a": `"a"`, "code 96 97": `"97"`, "reset a b": `"b"`, "log try a b": `"b"`, "man a b": `"b"`,
		"completion a b": `"b"`, "selfcheck a": `"a"`, "knowledge a b": `"b"`, "config check a b": "b", "--json status": "posdx COMMAND --json",
		"bundle /nowhere/of/x.zip": "/nowhere/of: there is no such folder",
	} {
		code, out, talk := cli(t, strings.Fields(args)...)
		first, _, _ := strings.Cut(talk, "\n")
		if code != exitUsage && !strings.HasPrefix(args, "bundle /") || out != "" || !strings.Contains(first, want) && args != "config check a b" {
			t.Errorf("posdx %s: exit %d, %q, want %q; stdout %q", args, code, first, want, out)
		}
	}
}

// Every command that goes by the terminal's configuration takes --config, as all others do.
func TestEveryCommandTakesTheConfiguration(t *testing.T) {
	without := []string{"enroll", "relay", "completion", "man", "version"} // they go by none
	for _, c := range commands() {
		if has := manualOf(c).flags.Lookup("config") != nil; has == slices.Contains(without, c.name) {
			t.Errorf("posdx %s: --config %v", c.name, has)
		}
	}
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	for file, text := range map[string]string{good: least, bad: "no toml"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]int{"--config " + bad: exitFailed, bad: exitFailed, "--config " + good: exitOK,
		"--config " + good + " " + good: exitOK, "--config " + good + " " + bad: exitUsage, good + " " + bad: exitUsage} {
		if code, out, talk := cli(t, append([]string{"config", "check"}, strings.Fields(args)...)...); code != want {
			t.Errorf("config check %s: exit %d, want %d: %s%s", args, code, want, out, talk)
		}
	}
}

// Beside a daemon that is stopped every client ends, in time and with a code of its own.
func TestClientsBesideAHungDaemon(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket) // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, args := range []string{"status", "check", "check net", "check --offline", "diagnose", "diagnose --code 96", "diagnose --offline", "guide", "report --code 96", "doctor"} {
		began := time.Now()
		code, out, talk := cli(t, append(strings.Fields(args), "--socket", socket, "--timeout", "200ms")...)
		want, says := exitTimeout, "does not answer"
		if args == "doctor" {
			want, talk = exitBad, out
			out = ""
		}
		if code != want || !strings.Contains(talk, says) || out != "" {
			t.Errorf("posdx %s: exit %d, want %d; stdout %q, stderr %q", args, code, want, out, talk)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("posdx %s took %v", args, took)
		}
	}
}

// Who asks in less time than a command would, as the console does, reads the same words in either language.
func TestAnotherDeadlineIsSaidTheSame(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := &daemonClient{Client: hook.Client{Path: socket}, wait: time.Minute}
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	_, err = d.State(ctx)
	zh, en := say.Error(err, "zh"), say.Error(err, "en")
	if !errors.Is(err, errNoAnswer) || strings.Contains(zh+en, "context") || !strings.Contains(zh, "没有回答") {
		t.Errorf("%s / %s", zh, en)
	}
}

// The history is there without a daemon, survives the fleet's acks, and is found by code, time and the end of an id.
func TestHistory(t *testing.T) {
	dir := t.TempDir()
	file := configured(t, dir, "")
	c, _, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, talk := cli(t, "history", "--config", file, "--lang", "en"); code != exitAbstain || !strings.Contains(talk, "no diagnosis") {
		t.Errorf("none yet: exit %d, %s", code, talk)
	}
	client, stop := startIn(t, c)
	var ids []string
	for _, code := range []string{"96", "97", "55"} {
		a := ask(t, client, map[string]any{"type": "code", "code": code, "origin": "host", "wait": "final"})
		ids = append(ids, a[0].ID)
	}
	ask(t, client, map[string]any{"type": "diagnose", "code": "91", "wait": "final"})
	ask(t, client, map[string]any{"type": "code", "code": "55", "origin": "host", "wait": "final"}) // comes again
	st, err := client.State(t.Context())
	if err != nil || len(st.Recent) != 3 || st.Recent[0].ID != ids[2] || st.Recent[2].Code != "96" {
		t.Errorf("in the state: %+v, %v", st.Recent, err)
	}
	stop()
	// The fleet has everything.
	box, err := outbox.Open(filepath.Join(dir, "outbox"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := box.Stats()
	if err := box.Ack(s.Epoch, s.Boot, s.Next-1); err != nil {
		t.Fatal(err)
	}
	box.Close()
	code, out, _ := cli(t, "history", "--config", file, "--lang", "en")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != exitOK ||
		!strings.Contains(lines[0], "diagnoses: 3, times are local") || !strings.Contains(out, ids[0]) || strings.Contains(out, " 91 ") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if _, out, _ := cli(t, "history", "--config", file, "--lang", "zh"); regexp.MustCompile(`[a-z]{4,}`).MatchString(out) {
		t.Errorf("English in the Chinese list:\n%s", out)
	}
	_, out, _ = cli(t, "history", "--config", file, "--code", "97", "--json")
	var line report.Recent
	if err := json.Unmarshal([]byte(out), &line); err != nil || line.ID != ids[1] {
		t.Errorf("--code 97: %s, %v", out, err)
	}
	if code, _, _ := cli(t, "history", "--config", file, "--since", "2999-01-01"); code != exitAbstain {
		t.Errorf("--since in the future: exit %d", code)
	}
	code, out, _ = cli(t, "history", "--config", file, "--lang", "en", ids[1][len(ids[1])-4:])
	if code != exitOK && code != exitAbstain || !strings.Contains(out, ids[1]) || !strings.Contains(out, "97") {
		t.Errorf("one: exit %d\n%s", code, out)
	}
	if code, _, talk := cli(t, "history", "--config", file, "--again", "--lang", "en", ids[1]); code == exitBad || !strings.Contains(talk, "the same verdict by the same knowledge") {
		t.Errorf("--again: exit %d, %s", code, talk)
	}
	// The bundle has them all, though the fleet has them too.
	zip := filepath.Join(dir, "b.zip")
	if code, _, talk := cli(t, "bundle", "--config", file, zip); code != exitOK {
		t.Fatal(talk)
	}
	_, out, _ = cli(t, "replay", zip, "--config", file, "--lang", "en")
	for _, id := range ids {
		if !strings.Contains(out, id) {
			t.Errorf("the bundle lacks %s:\n%s", id, out)
		}
	}
}

// Where flash hangs the history gives up in time, as every command does, with its own exit code.
func TestHistoryBesideAHungFlash(t *testing.T) {
	hung := make(chan struct{})
	defer close(hung)
	_, err := readInTime(t.Context(), "past", 50*time.Millisecond, func(string) ([]report.Diagnosis, error) {
		<-hung
		return nil, nil
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "flash does not answer") {
		t.Errorf("%v", err)
	}
	if list, err := readInTime(t.Context(), "past", time.Minute,
		func(string) ([]report.Diagnosis, error) { return make([]report.Diagnosis, 2), nil }); len(list) != 2 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	if code, _, talk := cli(t, "history", "--timeout", "0s"); code != exitUsage || !strings.Contains(talk, "--timeout") {
		t.Errorf("--timeout 0s: exit %d, %s", code, talk)
	}
}

// Completion and manual pages have every command and every option, and the shells that are here take them.
func TestCompletionAndManualPages(t *testing.T) {
	for _, shell := range shells {
		_, out, _ := cli(t, "completion", shell)
		for _, c := range commands() {
			if !strings.Contains(out, c.name) {
				t.Errorf("%s: no %s", shell, c.name)
			}
			for _, o := range options(manualOf(c)) {
				if !strings.Contains(out, "-"+o.Name) && !strings.Contains(out, "-l "+o.Name) {
					t.Errorf("%s: posdx %s has no --%s", shell, c.name, o.Name)
				}
			}
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not here to read its own", shell)
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, "-n")
		cmd.Stdin = strings.NewReader(out)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s does not take it: %v\n%s", shell, err, said)
		}
	}
	if bash, err := exec.LookPath("bash"); err == nil {
		_, script, _ := cli(t, "completion", "bash")
		for _, c := range []struct{ words, want string }{{"posdx hist", "history"}, {"posdx check --off", "--offline"}, {"posdx status --lang e", "en"}, {"posdx config ch", "check"}} {
			try := fmt.Sprintf("%s\nCOMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _posdx; echo ${COMPREPLY[*]}", script, c.words)
			said, err := exec.CommandContext(t.Context(), bash, "-c", try).CombinedOutput()
			if err != nil || strings.TrimSpace(string(said)) != c.want {
				t.Errorf("%s: %q, %v, want %s", c.words, said, err, c.want)
			}
		}
	}
	dir := t.TempDir()
	if code, _, talk := cli(t, "man", "--dir", dir); code != exitOK {
		t.Fatal(talk)
	}
	for _, c := range commands() {
		b, err := os.ReadFile(filepath.Join(dir, "posdx-"+c.name+".1"))
		if err != nil || !strings.HasPrefix(string(b), ".TH POSDX") {
			t.Errorf("posdx-%s.1: %v", c.name, err)
		}
		for i, l := range strings.Split(string(b), "\n") {
			if strings.HasPrefix(l, ".") &&
				!slices.Contains([]string{".TH", ".nh", ".ad", ".SH", ".B", ".I", ".TP", ".BI", ".BR", ".PP", ".nf", ".fi"}, strings.Fields(l)[0]) {
				t.Errorf("posdx-%s.1:%d: %s is no request", c.name, i+1, l)
			}
		}
	}
}

func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	file := configured(t, dir, "")
	parts := func() (map[string]finding, int) {
		code, out, _ := cli(t, "doctor", "--config", file, "--lang", "en", "--json")
		var list []finding
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatal(err)
		}
		m := map[string]finding{}
		for _, f := range list {
			if old, ok := m[f.Part]; !ok || old.Health != ill {
				m[f.Part] = f
			}
			if f.Health == ill && f.Do == "" && f.Part != "configuration" {
				t.Errorf("%s is bad and nothing is to be done: %+v", f.Part, f)
			}
		}
		return m, code
	}
	m, code := parts()
	if code != exitBad || m["daemon"].Health != ill || m["configuration"].Health != isWell || m["broker"].Health != unsure {
		t.Errorf("without a daemon: exit %d, %+v", code, m)
	}
	c, _, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	client, stop := startIn(t, c)
	defer stop()
	if m, code = parts(); code != exitOK || m["daemon"].Health != isWell || m["sales"].Health != unsure {
		t.Errorf("with a daemon: exit %d, %+v", code, m)
	}
	ask(t, client, map[string]any{"type": "code", "code": "96", "origin": "host", "wait": "final"})
	if m, _ = parts(); m["sales"].Health != isWell {
		t.Errorf("after a code: %+v", m["sales"])
	}
	if err := os.WriteFile(file, []byte("estate = \"change-me\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, code = parts(); code != exitBad || m["configuration"].Health != ill {
		t.Errorf("with a wrong configuration: exit %d, %+v", code, m)
	}
}

// A sale reported under a table that nobody knows is taken in, and the answer says so.
func TestUnknownTableOnTheHook(t *testing.T) {
	client, _, stop := start(t, "")
	defer stop()
	for scheme, warned := range map[string]bool{"nope": true, "unionpay": false, "": false} {
		list := ask(t, client, map[string]any{"type": "code", "code": "96", "scheme": scheme, "wait": "first"})
		last := list[len(list)-1]
		if said := strings.Join(last.Warnings, " "); strings.Contains(said, "no code table") != warned || last.ID == "" {
			t.Errorf("%q: %+v", scheme, last)
		}
	}
}
