package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// startWithHTTP runs a whole daemon that speaks over HTTP too, and returns what a client has to know in its
// environment.
func startWithHTTP(t *testing.T) (env []string, client hook.Client, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a-token-of-the-tests\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, _, stop = start(t, fmt.Sprintf("http = %q\ntoken_file = %q\n", address, token))
	housetest.Listening(t, address[strings.LastIndexByte(address, ':')+1:])
	return []string{"POSDX_SOCKET=" + client.Path, "POSDX_HTTP=" + address, "POSDX_TOKEN_FILE=" + token}, client, stop
}

// tool skips a test that needs a program that is not here, and names its Debian package.
func tool(t *testing.T, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("needs %s (Debian package %s)", program, pkg)
	}
}

// Every client in clients gets a verdict from a daemon, and says so in time where there is none, where it hangs, and
// where it hangs up.
func TestClients(t *testing.T) {
	for _, c := range []struct {
		name, program, pkg string
		http               bool
		build              func(t *testing.T, dir string) []string
	}{
		{"c", "cc", "gcc", false, func(t *testing.T, dir string) []string {
			bin := filepath.Join(dir, "posdx-code")
			mustRun(t, "cc", "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-DPOSDX_MAIN", "-o", bin, "clients/posdx.c")
			return []string{bin}
		}},
		{"python", "python3", "python3", false, func(*testing.T, string) []string { return []string{"python3", "clients/posdx.py"} }},
		{"shell", "socat", "socat", false, func(*testing.T, string) []string { return []string{"sh", "clients/posdx.sh"} }},
		{"shell-http", "curl", "curl", true, func(*testing.T, string) []string { return []string{"sh", "clients/posdx.sh"} }},
		{"java", "javac", "default-jdk-headless", true, func(t *testing.T, dir string) []string {
			mustRun(t, "javac", "--release", "8", "-Xlint:all,-options", "-Werror", "-d", dir, "clients/Posdx.java")
			return []string{"java", "-cp", dir, "Posdx"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tool(t, c.program, c.pkg)
			program := c.build(t, t.TempDir())
			env, client, stop := startWithHTTP(t)
			running := true
			defer func() {
				if running {
					stop()
				}
			}()
			call := func(env []string, args ...string) (out string, code int) {
				t.Helper()
				cmd := exec.Command(program[0], append(program[1:len(program):len(program)], args...)...)
				cmd.Env = os.Environ()
				for _, e := range env {
					if c.http == !strings.HasPrefix(e, "POSDX_SOCKET") {
						cmd.Env = append(cmd.Env, e)
					}
				}
				var talk bytes.Buffer
				cmd.Stderr = &talk
				b, err := cmd.Output()
				if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
					code = exit.ExitCode()
				} else if err != nil {
					t.Fatal(err)
				}
				if talk.Len() > 0 {
					t.Logf("%s", bytes.TrimSpace(talk.Bytes()))
				}
				return string(b), code
			}
			last := func(out string) (a hook.Answer) {
				lines := strings.Split(strings.TrimSpace(out), "\n")
				if err := json.Unmarshal([]byte(lines[len(lines)-1]), &a); err != nil {
					t.Errorf("%v: %s", err, out)
				}
				return a
			}
			out, code := call(env, "96", "host", "000123")
			a := last(out)
			for range 4 { // a busy machine may take longer than the second that the daemon lets a client wait
				if code != 3 {
					break
				}
				out, code = call(env, "verdict", a.ID)
				a = last(out)
			}
			if code != 0 || a.Verdict == nil || a.Verdict.Retry != "later" {
				t.Errorf("exit %d: %s", code, out)
			}
			if s, err := client.State(t.Context()); err != nil || s.Last == nil || s.Last.Event.Code != "96" ||
				s.Last.Event.Txn.STAN != "000123" || s.Last.Event.Origin != "host" {
				t.Errorf("the daemon knows %+v, %v", s.Last, err)
			}
			// By its id the verdict is there again, and no sale is counted for it.
			again := func(id string, want int) {
				t.Helper()
				out, code := call(env, "verdict", id)
				var b hook.Answer
				if want == 0 {
					b = last(out)
				}
				if code != want || want == 0 && (b.ID != id || b.Verdict == nil || b.Verdict.Retry != "later") {
					t.Errorf("verdict %s: exit %d, want %d: %s", id, code, want, out)
				}
			}
			again(a.ID, 0)
			again("00007c-00000fffff", 1)
			if s, err := client.State(t.Context()); err != nil || s.Last == nil || s.Last.Repeats > 0 {
				t.Errorf("to ask for the verdict is counted as a sale: %+v, %v", s.Last, err)
			}
			if out, code := call(env, `9"6`, "host", "000123"); code == 0 && !strings.Contains(out, `"result"`) {
				t.Errorf("a quote in a word: exit %d %s", code, out)
			}
			if _, code := call(env, "96"); code != 2 {
				t.Errorf("too few words: exit %d", code)
			}
			stop()
			running = false
			if _, code := call(env, "96", "host", "000123"); code != 1 {
				t.Errorf("without a daemon: exit %d, want 1", code)
			}
			// One that hangs takes the client's time and no more; one that hangs up raises no signal; a busy one has taken the
			// code in, and the client says that this is no failure.
			for name, stub := range map[string]struct {
				serve func(net.Conn)
				exits []int
			}{
				"hangs":              {func(net.Conn) {}, []int{1, 124}},
				"hangs up":           {func(c net.Conn) { c.Close() }, []int{1}},
				"speaks no JSON":     {func(c net.Conn) { answerAll(c, c.LocalAddr().Network(), "\xff\xfe[1]") }, []int{1}},
				"speaks another":     {func(c net.Conn) { answerAll(c, c.LocalAddr().Network(), "[1]") }, []int{1}},
				"never ends a line":  {endless, []int{1, 124}},
				"has not explained":  {func(c net.Conn) { answerAll(c, c.LocalAddr().Network(), notYet) }, []int{3}},
				"explains at length": {func(c net.Conn) { answerAll(c, c.LocalAddr().Network(), atLast) }, []int{0, 3}},
				"refuses":            {func(c net.Conn) { answerAll(c, c.LocalAddr().Network(), `{"v":1,"result":"error","why":"x"}`) }, []int{1}},
			} {
				network, at := "unix", strings.TrimPrefix(env[0], "POSDX_SOCKET=")
				if c.http {
					network, at = "tcp", strings.TrimPrefix(env[1], "POSDX_HTTP=")
				}
				l, err := net.Listen(network, at)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						defer c.Close()
						go stub.serve(c)
					}
				}()
				if out, code := call(env, "96", "host", "000123"); !slices.Contains(stub.exits, code) {
					t.Errorf("a daemon that %s: exit %d, want one of %v: %s", name, code, stub.exits, out)
				}
				l.Close()
			}
		})
	}
}

// What a busy daemon answers: nothing is explained after the second that a client waits.
const (
	notYet = `{"v":1,"result":"accepted","id":"7c-1","why":"not explained yet: ask for the status later"}`
	atLast = `{"v":1,"result":"accepted","more":true,"id":"7c-1"}` + "\n" +
		`{"v":1,"result":"final","id":"7c-1","verdict":{"money":"declined","retry":"later","say":"x"}}`
)

// endless sends an answer that has no end.
func endless(c net.Conn) {
	b := bytes.Repeat([]byte("x"), 1<<16)
	if c.LocalAddr().Network() == "tcp" {
		fmt.Fprint(c, "HTTP/1.1 200 x\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
	}
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// answerAll answers every request for a code on a connection with this, and every step of a sale as usual.
func answerAll(c net.Conn, network, answer string) {
	if network == "tcp" {
		r := bufio.NewReader(c)
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, q.Body)
		status := 202
		if strings.Contains(answer, `"error"`) {
			status = 400
		}
		last := answer[strings.LastIndexByte(answer, '\n')+1:]
		fmt.Fprintf(c, "HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(last), last)
		c.Close()
		return
	}
	for lines := bufio.NewScanner(c); lines.Scan(); {
		said := answer
		if strings.Contains(lines.Text(), `"txn", "phase"`) {
			said = `{"v":1,"result":"accepted"}`
		}
		fmt.Fprintln(c, said)
	}
	c.Close()
}

// A daemon that says something and then is busy for long: what it said is printed, and that it is not the end of it.
func TestWhatIsKnownIsPrintedWhereTheEndIsLate(t *testing.T) {
	first, err := json.Marshal(hook.Answer{V: 1, Result: hook.First, More: true, ID: "7c-1", Diagnosis: &report.Diagnosis{
		ID: "7c-1", Revision: 1, Event: report.Event{Code: "96"}, Causes: []report.Cause{{ID: "host.malfunction", Title: "the host"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		answer, out, talk string
	}{
		"first only":    {string(first), "96", "do not report it again"},
		"not the end":   {string(first) + "\n" + notYet, "96", "do not report it again"},
		"nothing yet":   {notYet, "accepted 7c-1", "not explained yet"},
		"accepted only": {`{"v":1,"result":"accepted","more":true,"id":"7c-1"}`, "accepted 7c-1", "do not report it again"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go answerAll(conn, "unix", c.answer)
				}
			}()
			code, out, talk := cli(t, "report", "--code", "96", "--socket", socket, "--timeout", "1s")
			if code != exitTimeout || !strings.Contains(out, c.out) || !strings.Contains(talk, c.talk) {
				t.Errorf("exit %d, %q, %q", code, out, talk)
			}
		})
	}
}

// A verdict can be asked for by its id, by people too: of this run of the daemon and of the one before, in the
// language of who asks. An id of no code is refused.
func TestReportAsksByID(t *testing.T) {
	file := configured(t, t.TempDir(), "")
	c, _, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	client, stop := startIn(t, c)
	code, out, talk := cli(t, "report", "--code", "96", "--origin", "host", "--socket", client.Path, "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var a hook.Answer
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &a); err != nil || a.Result != hook.Final {
		t.Fatalf("exit %d: %s%s", code, out, talk)
	}
	for _, when := range []string{"in this run", "after a restart"} {
		for lang, word := range map[string]string{"en": "processing", "zh": "系统"} {
			code, out, talk := cli(t, "report", "--id", a.ID, "--socket", client.Path, "--lang", lang)
			if code != exitOK || !strings.Contains(out, word) || talk != "" {
				t.Errorf("%s, %s: exit %d, %s%s", when, lang, code, out, talk)
			}
		}
		if code, _, talk := cli(t, "report", "--id", "00007c-00000fffff", "--socket", client.Path); code != exitFailed || !strings.Contains(talk, "no code of this terminal has this id") {
			t.Errorf("%s, an id of no code: exit %d, %s", when, code, talk)
		}
		stop()
		client, stop = startIn(t, c)
	}
	stop()
	for _, words := range []string{"--id " + a.ID + " --code 96", "--id " + a.ID + " --origin host", "--id " + a.ID + " --txn stan=1", "--id x"} {
		if code, _, _ := cli(t, append([]string{"report", "--socket", client.Path}, strings.Fields(words)...)...); code != exitUsage {
			t.Errorf("%s: exit %d, want %d", words, code, exitUsage)
		}
	}
}

// A question whose end the daemon says is late is not printed as if that were it.
func TestADiagnosisWithoutItsEndIsLate(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first, err := json.Marshal(hook.Answer{V: 1, Result: hook.First, More: true, ID: "7c-1", Diagnosis: &report.Diagnosis{
		ID: "7c-1", Revision: 1, Event: report.Event{Code: "96"}, Causes: []report.Cause{{ID: "host.malfunction", Title: "the host"}}}})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				said := string(first) + "\n" + notYet
				if strings.Contains(lines.Text(), `"status"`) {
					said = `{"v":1,"result":"done","state":{}}`
				}
				fmt.Fprintln(conn, said)
			}
			conn.Close()
		}
	}()
	code, out, talk := cli(t, "diagnose", "--code", "96", "--socket", socket)
	if code != exitTimeout || !strings.Contains(out, "96") || !strings.Contains(talk, "has not come in time") {
		t.Errorf("exit %d, %q, %q", code, out, talk)
	}
}

// The doctor asks over HTTP as a client does, and says what is wrong with the token.
func TestDoctorAsksOverHTTP(t *testing.T) {
	env, _, stop := startWithHTTP(t)
	defer stop()
	at := func(i int) string { _, v, _ := strings.Cut(env[i], "="); return v }
	d := doctor{lang: "en", state: &report.State{}, client: &clientFlags{timeout: new(time.Duration)}}
	*d.client.timeout = answerWait
	d.c.Hook.HTTP, d.c.Hook.TokenFile = at(1), at(2)
	d.hookHTTP(t.Context())
	if err := os.Chmod(at(2), 0o644); err != nil {
		t.Fatal(err)
	}
	d.hookHTTP(t.Context())
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("another-token-of-nobody"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(at(2), 0o600); err != nil {
		t.Fatal(err)
	}
	d.c.Hook.TokenFile = other
	d.hookHTTP(t.Context())
	for i, want := range []health{isWell, ill, ill} {
		if d.list[i].Health != want || want == ill && d.list[i].Do == "" {
			t.Errorf("%d: %+v, want %s", i, d.list[i], want)
		}
	}
}

func mustRun(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

// blocks are the examples of a page, by their language.
func blocks(t *testing.T, file, section string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(string(b), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", file, section)
	}
	page, _, _ = strings.Cut(page, "\n## ")
	list := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(page, -1) {
		list[m[1]] += m[2]
	}
	return list
}

// What README shows to whoever writes a payment application works as it stands there.
func TestReadmeShowsWhatWorks(t *testing.T) {
	for file, section := range map[string]string{"README.md": "From a payment application", "README.zh.md": "支付应用接入"} {
		t.Run(file, func(t *testing.T) { readmeWorks(t, blocks(t, "../"+file, section)) })
	}
}

func readmeWorks(t *testing.T, examples map[string]string) {
	_, client, stop := startWithHTTP(t)
	defer stop()
	here := func(s string) string { return strings.ReplaceAll(s, conf.Socket, client.Path) }
	if len(examples) != 3 {
		t.Fatalf("%d kinds of examples: %v", len(examples), examples)
	}
	t.Run("sh", func(t *testing.T) {
		words := strings.Fields(examples["sh"])
		var out, talk bytes.Buffer
		code := run(t.Context(), stdio{in: strings.NewReader(""), out: &out, err: &talk, speak: "en"},
			append(words[1:], "--socket", client.Path))
		if code != exitOK && code != exitAbstain || !strings.Contains(out.String(), "96") {
			t.Errorf("exit %d: %s%s", code, out.String(), talk.String())
		}
	})
	t.Run("python", func(t *testing.T) {
		tool(t, "python3", "python3")
		if out := mustRun(t, "python3", "-c", here(examples["python"])); !strings.Contains(out, "'result': 'first'") {
			t.Errorf("%s", out)
		}
	})
	t.Run("c", func(t *testing.T) {
		tool(t, "cc", "gcc")
		dir := t.TempDir()
		include, body, _ := strings.Cut(here(examples["c"]), "\n")
		file := filepath.Join(dir, "till.c")
		if err := os.WriteFile(file, []byte(include+"\n#include <stdio.h>\nint main(void)\n{\n"+body+"return 0;\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		mustRun(t, "cc", "-Wall", "-Wextra", "-Werror", "-Iclients", "-o", filepath.Join(dir, "till"), file, "clients/posdx.c")
		if out := mustRun(t, filepath.Join(dir, "till")); len(strings.TrimSpace(out)) < 20 {
			t.Errorf("%q", out)
		}
	})
}

// keysOf are the keys that a page's table of the configuration tells of.
func keysOf(t *testing.T, file, section string) (keys []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(string(b), section)
	if !ok {
		t.Fatalf("%s has no %q", file, section)
	}
	page, _, _ = strings.Cut(page, "\n#")
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(page, -1) {
		keys = append(keys, row[1])
	}
	return keys
}

// TestReadmeInBothLanguages: each key of the configuration is told of in both, in the same order, and each command that
// stands on either page is one, with options that it has.
func TestReadmeInBothLanguages(t *testing.T) {
	en, zh := keysOf(t, "../README.md", "\n### Every key\n"), keysOf(t, "../README.zh.md", "\n## 配置\n")
	if len(en) < 50 || !slices.Equal(en, zh) {
		for i := range max(len(en), len(zh)) {
			if i >= len(en) || i >= len(zh) || en[i] != zh[i] {
				t.Errorf("row %d: %q and %q", i+1, en[min(i, len(en)-1)], zh[min(i, len(zh)-1)])
				break
			}
		}
	}
	options := map[string]manual{}
	for _, c := range commands() {
		options[c.name] = manualOf(c)
	}
	for _, file := range []string{"../README.md", "../README.zh.md"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, m := range regexp.MustCompile("(?:^|[`\n ])posdx ([a-z]+)([^#`\n]*)").FindAllStringSubmatch(string(b), -1) {
			command, ok := options[m[1]]
			if !ok {
				if m[1] != "help" && strings.Contains(m[0], "`") {
					t.Errorf("%s: no command in %q", file, m[0])
				}
				continue
			}
			seen++
			for _, o := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(m[2], -1) {
				if o[1] != "help" && command.flags.Lookup(o[1]) == nil {
					t.Errorf("%s: posdx %s has no --%s", file, m[1], o[1])
				}
			}
		}
		if seen < 14 {
			t.Errorf("%s: only %d commands", file, seen)
		}
	}
}
