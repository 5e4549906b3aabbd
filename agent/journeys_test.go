package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"posdx/agent/internal/source/hook"
	"posdx/firmware-build/housetest"
)

// cable joins two ttys, as a cable does: what goes to the person is as slow as 9600 baud.
func cable(t *testing.T) (device, person string) {
	t.Helper()
	end := func() (*os.File, string) {
		master, slave, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
			t.Fatal(err)
		}
		// The slave stays open: a tty that nobody has open hangs its line up.
		t.Cleanup(func() { master.Close(); slave.Close() })
		return master, slave.Name()
	}
	near, device := end()
	far, person := end()
	pass := func(to, from *os.File, pace bool) {
		b := make([]byte, 48)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
			if pace {
				time.Sleep(time.Duration(n) * time.Second / 960) // the pace of a line at 9600
			}
		}
	}
	go pass(far, near, true)
	go pass(near, far, false)
	return device, person
}

// atTheCounter is a running daemon that serves its console on a line, after a sale that ended with 97.
func atTheCounter(t *testing.T, lang, more string) (client hook.Client, person string) {
	t.Helper()
	device, person := cable(t)
	text := fmt.Sprintf("[console]\ntty = %q\nbaud = 9600\nlanguage = %q\n%s[contacts]\nacquirer = \"95516\"\n", device, lang, more)
	client, _, stop := start(t, text)
	t.Cleanup(stop)
	ask(t, client, map[string]any{"type": "code", "code": "97", "origin": "host", "wait": "final", "lang": lang,
		"txn": map[string]any{"mti": "0210", "stan": "000123", "sent": true, "host_answer_seen": true}})
	return client, person
}

// Each journey of a technician, as an expect script that one can read, over a line of 9600 baud, through picocom, to a
// whole daemon.
func TestJourneys(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute of a slow line")
	}
	tool(t, "expect", "expect")
	tool(t, "picocom", "picocom")
	for _, j := range []struct {
		name, more string
		keys       int // at most
	}{
		{"verdict", "", 4}, {"ask", "", 5}, {"history", "", 8}, {"devices", "", 5}, {"pin", "pin = \"4711\"\n", 16}, {"bundle", "", 2},
		{"key", "keys = [\"KEY\"]\n", 3}, {"path", "", 3}, {"phone", "", 8}, {"try", "", 3}, {"plain", "plain = true\n", 4},
	} {
		for _, lang := range []string{"zh", "en"} {
			t.Run(j.name+"-"+lang, func(t *testing.T) {
				t.Parallel()
				if j.name == "bundle" {
					tool(t, "rz", "lrzsz")
				}
				script, err := filepath.Abs("testdata/journeys/" + j.name + ".exp")
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				more := j.more
				if strings.Contains(more, "KEY") {
					more = strings.Replace(more, "KEY", newSSHKey(t, dir), 1)
				}
				_, person := atTheCounter(t, lang, more)
				c := exec.Command("expect", "-f", script, person, lang)
				c.Dir = dir
				c.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=vt100")
				var out, talk bytes.Buffer
				c.Stdout, c.Stderr = &out, &talk
				if err := c.Run(); err != nil {
					t.Fatalf("%v\n%s%s", err, out.String(), talk.String())
				}
				m := regexp.MustCompile(`keys (\d+)`).FindStringSubmatch(out.String())
				if m == nil {
					t.Fatalf("no count: %s", out.String())
				}
				if n, _ := strconv.Atoi(m[1]); n > j.keys {
					t.Errorf("%d keys, want at most %d", n, j.keys)
				}
				t.Logf("%s keys", m[1])
				if j.name == "bundle" {
					sameElsewhere(t, c.Dir)
				}
			})
		}
	}
}

// newSSHKey has ssh-keygen make a key of a technician in a folder, and returns its public half.
func newSSHKey(t *testing.T, dir string) string {
	t.Helper()
	tool(t, "ssh-keygen", "openssh-client")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "wang lei", "-f", dir+"/id_ed25519").
		CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(dir + "/id_ed25519.pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// sameElsewhere replays the bundle that lies in a folder: the verdict is the one that the terminal gave.
func sameElsewhere(t *testing.T, dir string) {
	t.Helper()
	files, _ := filepath.Glob(dir + "/posdx-*.zip")
	if len(files) != 1 {
		list, _ := os.ReadDir(dir)
		t.Fatalf("no bundle came: %v", list)
	}
	var out, talk bytes.Buffer
	if code := run(t.Context(), stdio{in: strings.NewReader(""), out: &out, err: &talk},
		[]string{"replay", files[0], "--lang", "en"}); code != exitOK || !strings.Contains(out.String(), "terminal.not-registered") {
		t.Errorf("exit %d\n%s%s", code, out.String(), talk.String())
	}
}

// minicom sees the transfer begin and receives by itself.
func TestMinicomReceivesTheBundle(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute of a slow line")
	}
	t.Parallel()
	tool(t, "minicom", "minicom")
	tool(t, "rz", "lrzsz")
	_, person := atTheCounter(t, "en", "")
	home := t.TempDir()
	if err := os.WriteFile(home+"/.minirc.dfl", []byte("pu downdir "+home+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("minicom", "-D", person, "-b", "9600", "-o", "-t", "vt100")
	c.Dir, c.Env = home, append(os.Environ(), "HOME="+home, "LC_ALL=C.UTF-8", "TERM=vt100")
	keyboard, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { c.Process.Kill(); c.Wait(); keyboard.Close() }()
	var seen housetest.Buffer
	go io.Copy(&seen, keyboard)
	shows := func(what string, press string) {
		t.Helper()
		shown := func() bool { return bytes.Contains(seen.Bytes(), []byte(what)) }
		for end := time.Now().Add(housetest.Patience); !housetest.Within(time.Second, shown); {
			if time.Now().After(end) {
				t.Fatalf("never: %s\n%q", what, seen.Bytes())
			}
			io.WriteString(keyboard, press) // a program that is still starting throws keys away
		}
	}
	shows("Money", "\r")
	io.WriteString(keyboard, "z")
	if !housetest.Within(housetest.Patience, func() bool {
		files, _ := filepath.Glob(home + "/posdx-*.zip")
		return len(files) == 1 && bytes.Contains(seen.Bytes(), []byte("READY"))
	}) {
		b := seen.Bytes()
		t.Fatalf("nothing came\n%q", b[max(0, len(b)-3000):])
	}
	sameElsewhere(t, home)
}
