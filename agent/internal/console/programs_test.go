package console

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
	"golang.org/x/text/encoding/simplifiedchinese"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// lineSpeed is 9600 baud, 8N1, in bytes a second.
const lineSpeed = 960

// A slowLine passes bytes on as fast as a line does.
type slowLine struct{ *os.File }

func (l slowLine) Write(b []byte) (n int, err error) {
	const step = lineSpeed / 20
	for n < len(b) && err == nil {
		var k int
		k, err = l.File.Write(b[n:min(len(b), n+step)])
		n += k
		time.Sleep(time.Second * time.Duration(k) / lineSpeed) // the pace of the line
	}
	return n, err
}

// needs skips a test that needs a program that is not here.
func needs(t *testing.T, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("needs %s (Debian package %s)", program, pkg)
	}
}

// A window is a terminal of 80 by 24 in which a program runs: tmux keeps the screen, as a person would see it.
type window struct {
	t    *testing.T
	name string
}

func openWindow(t *testing.T, dir string, command ...string) window {
	t.Helper()
	needs(t, "tmux", "tmux")
	w := window{t, "posdx-test-" + strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())}
	c := exec.Command("tmux", append([]string{"-f", "/dev/null", "-u", "-L", w.name, "new-session", "-d", "-x", "80", "-y", "24", "--"}, command...)...)
	c.Dir = dir
	c.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "TMUX") }), "LC_ALL=C.UTF-8", "TERM=xterm")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	t.Cleanup(func() { exec.Command("tmux", "-L", w.name, "kill-server").Run() })
	exec.Command("tmux", "-L", w.name, "set-option", "-g", "status", "off").Run()
	return w
}

func (w window) screen() string {
	out, _ := exec.Command("tmux", "-L", w.name, "capture-pane", "-p").Output()
	return string(out)
}

func (w window) keys(keys ...string) {
	w.t.Helper()
	if out, err := exec.Command("tmux", append([]string{"-L", w.name, "send-keys"}, keys...)...).CombinedOutput(); err != nil {
		w.t.Fatalf("tmux send-keys: %v\n%s", err, out)
	}
}

// shows waits until the screen is what it should be, and says how it differs if that never comes.
func (w window) shows(what string, is func(screen string) bool) string {
	w.t.Helper()
	s := ""
	if !housetest.Within(housetest.Patience, func() bool { s = w.screen(); return is(s) }) {
		w.t.Fatalf("never shows %s; it is\n%s", what, s)
	}
	return s
}

// spare is a screen without its empty lines: a program that keeps a row for itself has one less.
func spare(screen string) string {
	var lines []string
	for l := range strings.Lines(screen) {
		if l = strings.TrimRight(l, " \n"); l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}

// golden is a screen of testdata, as a person would see it.
func goldenScreen(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return spare(string(b))
}

// serveSlowly runs a console on a line of 9600 baud until the test ends, and returns the line's far end.
func serveSlowly(t *testing.T, c *Console) string {
	t.Helper()
	line, far, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(far.Fd())); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- c.Run(ctx, slowLine{line}) }()
	t.Cleanup(func() {
		stop()
		line.Close()
		far.Close()
		<-over
	})
	return far.Name()
}

// What a technician sees in the programs that technicians use, over a line of 9600 baud, is what testdata shows a
// reviewer.
func TestScreensInTerminalPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute of a slow line")
	}
	for _, p := range []struct {
		name, pkg string
		command   func(device string) []string
		chinese   bool // as wide as it is
	}{
		{"picocom", "picocom", func(device string) []string { return []string{"picocom", "-q", "-b", "9600", "--noreset", device} }, true},
		{"minicom", "minicom", func(device string) []string {
			return []string{"minicom", "-D", device, "-b", "9600", "-o", "-R", "utf-8", "-t", "xterm"}
		}, false},
		{"screen", "screen", func(device string) []string { return []string{"screen", "-U", device, "9600"} }, true},
	} {
		for _, lang := range []string{"zh", "en"} {
			t.Run(p.name+"-"+lang, func(t *testing.T) {
				t.Parallel()
				needs(t, p.name, p.pkg)
				var past []report.Diagnosis
				m := newModel(lang)
				withPast(m)
				past = m.past
				shown := lang
				if !p.chinese {
					shown = "en" // README says why
				}
				c := &Console{Backend: &fakeBackend{lang: shown}, Knowledge: know, Lang: lang, Stay: true,
					Contacts: Contacts{Acquirer: "95516", Service: "400-820-8820"},
					Past:     func() ([]report.Diagnosis, error) { return past, nil }}
				w := openWindow(t, t.TempDir(), p.command(serveSlowly(t, c))...)
				is := func(name string) func(string) bool {
					want := goldenScreen(t, name+"-"+shown)
					return func(screen string) bool {
						return spare(screen) == want
					}
				}
				first := is("verdict")
				w.shows("the first page after Enter", func(s string) bool {
					if !first(s) && !strings.Contains(s, "posdx  shop/t1") {
						w.keys("Enter") // the program throws away what comes before it is ready
						time.Sleep(1500 * time.Millisecond)
					}
					return first(s)
				})
				for _, step := range []struct{ keys, name string }{{"2", "devices"}, {"Enter", "facts"}, {"7", "history"}, {"d", "details"}, {"6", "handoff"}, {"1", "verdict"}} {
					if step.name == "history" {
						w.keys("7", "j")
					} else {
						w.keys(step.keys)
					}
					w.shows(step.name, is(step.name))
				}
				w.keys("q")
				w.shows("the closed door", func(s string) bool { return strings.Contains(s, "press Enter") })
			})
		}
	}
}

// A terminal set to GBK is sent GBK, and shows the same screen as one set to UTF-8.
func TestAGBKTerminal(t *testing.T) {
	serve(t, Console{GBK: true, Contacts: Contacts{Acquirer: "95516", Service: "400-820-8820"}}, 3, func(term *terminal, _ *fakeBackend) {
		sent := term.sent()
		text, err := simplifiedchinese.GBK.NewDecoder().String(sent)
		if err != nil || strings.Contains(text, "\ufffd") || sent == text {
			t.Fatalf("not GBK: %v %q", err, sent)
		}
		_, screen, ok := strings.Cut(text, "\x1b[0m\x1b[2J")
		var v vt
		if err := v.write([]byte("\x1b[0m\x1b[2J" + screen)); !ok || err != nil {
			t.Fatalf("%v: %q", err, text)
		}
		if got, want := spare(strings.Join(v.lines(), "\n")), goldenScreen(t, "verdict-zh"); got != want {
			t.Errorf("a GBK terminal shows\n%s\nwant\n%s", got, want)
		}
	})
}
