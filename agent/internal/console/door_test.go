package console

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/internal/sshsig"
	"posdx/codes"
)

// A laptop is a technician's, with a key of its own and the real ssh-keygen.
type laptop struct{ file string }

func newLaptop(t *testing.T) (laptop, sshsig.Key) {
	t.Helper()
	needs(t, "ssh-keygen", "openssh-client")
	l := laptop{filepath.Join(t.TempDir(), "id_ed25519")}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "wang lei", "-f", l.file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(l.file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key, err := sshsig.ParseKey(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return l, key
}

// run does in a shell what the console shows, and returns what is to be pasted: a terminal program sends CR at a line's
// end.
func (l laptop) run(t *testing.T, command string) string {
	t.Helper()
	c := exec.Command("sh", "-c", strings.ReplaceAll(command, "~/.ssh/id_ed25519", l.file))
	var problem bytes.Buffer
	c.Stderr = &problem
	out, err := c.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s", command, err, problem.String())
	}
	return strings.ReplaceAll(string(out), "\n", "\r")
}

// commandOn finds what a screen says is to be run.
func commandOn(t *testing.T, screen []string) string {
	t.Helper()
	i := slices.IndexFunc(screen, func(l string) bool { return strings.HasPrefix(l, "  echo ") })
	if i < 0 || !strings.HasPrefix(screen[i+1], "    ssh-keygen ") {
		t.Fatalf("nothing is to be run:\n%s", strings.Join(screen, "\n"))
	}
	return strings.TrimRight(screen[i], " ") + "\n" + strings.TrimRight(screen[i+1], " ")
}

// A counter is a console that a technician types at and sees.
type counter struct {
	t    *testing.T
	term *terminal
	all  string // was sent
}

// says types, and returns what is sent then.
func (c *counter) says(keys string) string {
	fmt.Fprint(c.term, keys)
	synctest.Wait()
	s := c.term.sent()
	c.all += s
	return s
}

// screen is what is to be seen now.
func (c *counter) screen() []string {
	const clear = "\x1b[0m\x1b[2J"
	var v vt
	if err := v.write([]byte(c.all[strings.LastIndex(c.all, clear):])); err != nil {
		c.t.Fatal(err)
	}
	return v.lines()
}

// Who has a key signs what the console shows him, with the ssh-keygen that he has, and needs no PIN. What was signed is
// good once, and here only.
func TestTheKeyOpens(t *testing.T) {
	mine, key := newLaptop(t)
	others, _ := newLaptop(t)
	for _, pin := range []string{"", "4711"} {
		var log bytes.Buffer
		c := Console{Stay: true, PIN: pin, Keys: []sshsig.Key{key}, Terminal: "t1", Log: slog.New(slog.NewTextHandler(&log, nil))}
		serve(t, c, 3, func(term *terminal, back *fakeBackend) {
			at := &counter{t: t, term: term}
			says := at.says
			open := func(s string) bool { return strings.Contains(s, "2设备") }
			says("\r")
			says("2")
			command := commandOn(t, at.screen())
			if !strings.Contains(command, "echo t1@") {
				t.Fatalf("PIN %q: it is to be run: %q", pin, command)
			}
			if s := says(others.run(t, command)); open(s) || !strings.Contains(s, wordPINWrong.ZH) {
				t.Errorf("another's signature: %q", s)
			}
			if s := says("2" + mine.run(t, command)); open(s) {
				t.Errorf("what was tried already is taken: %q", s)
			}
			says("\r")
			again := commandOn(t, at.screen())
			if again == command {
				t.Error("the same is to be signed again")
			}
			if pin == "" {
				if s := says("1234\r"); open(s) || !strings.Contains(s, wordKeyOnly.ZH) {
					t.Errorf("a PIN where none is taken: %q", s)
				}
			}
			signature := mine.run(t, again)
			if s := says("\x1b[A" + signature); !open(s) {
				t.Errorf("PIN %q: signed, and the door stays shut: %q", pin, s)
			}
			if s := says("2"); !strings.Contains(s, "reader0") {
				t.Errorf("after it: %q", s)
			}
			says("q")
			if s := says("\r"); open(s) {
				t.Errorf("the next who comes finds it open: %q", s)
			}
			if s := says("2" + signature); open(s) {
				t.Errorf("the signature of before is taken: %q", s)
			}
		})
		for _, want := range []string{"by=key", `of="wang lei"`, "wrong signature", "not known here", "in_a_row=2"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("PIN %q: no %s in the log:\n%s", pin, want, log.String())
			}
		}
	}
}

// Wrong signatures are counted and make wait, as wrong PINs do; neither shuts the other out.
func TestWrongSignaturesMakeWait(t *testing.T) {
	_, key := newLaptop(t)
	c := Console{PIN: "4711", Keys: []sshsig.Key{key}, Terminal: "t1"}
	now := time.Now()
	for range mostTries {
		c.verify("x", c.challenge(now), now)
	}
	if _, wait := c.verify("x", c.challenge(now), now); wait <= 0 {
		t.Error("a sixth is taken at once")
	}
	if ok, _ := c.unlock("4711", now); !ok {
		t.Error("the PIN is not taken")
	}
	if _, wait := c.verify("x", c.challenge(now), now.Add(tryWait)); wait != 2*tryWait {
		t.Errorf("then it waits %v", wait)
	}
	for range 2 * mostTries {
		c.unlock("1111", now)
	}
	if _, wait := c.verify("x", c.challenge(now), now.Add(maxWait)); wait != 4*tryWait {
		t.Errorf("wrong PINs count as signatures: %v", wait)
	}
}

// A card swiped into a signature that is being pasted is not kept with it.
func TestACardInAPasteIsNotKept(t *testing.T) {
	m := emptyModel("en", codes.Builtin(), Contacts{})
	m.locked, m.key = true, true
	typeText(&m, sshsig.Begin+"\rU1NIU0lHAAAA\rAAA4761739001010010")
	if kept := m.signature + m.entry; strings.Contains(kept, "4761739") || !m.card {
		t.Errorf("kept: %q; known as a card: %v", kept, m.card)
	}
}

// What is pasted at the wrong place, broken, or too long opens nothing, counts no try that is none, and leaves the next
// one whole.
func TestPastesThatAreNoSignature(t *testing.T) {
	mine, key := newLaptop(t)
	c := Console{Stay: true, PIN: "4711", Keys: []sshsig.Key{key}, Terminal: strings.Repeat("long-name-", 6) + "7"}
	serve(t, c, 3, func(term *terminal, back *fakeBackend) {
		at := &counter{t: t, term: term}
		says := at.says
		says("\r")
		says("2")
		command := commandOn(t, at.screen())
		if !strings.Contains(command, "echo long-") || strings.Count(command, "\n") != 1 {
			t.Fatalf("to be run: %q", command)
		}
		good := mine.run(t, command)
		says("Signing data on standard input\r") // of stderr, copied along
		for _, line := range strings.SplitAfter(good, "\r")[1:] {
			says(line) // the first line was lost
		}
		says("-----BEGIN SSH SIG\r" + "--\r")
		says(sshsig.Begin + "\r" + strings.Repeat(strings.Repeat("A", 200)+"\r", 5000)) // a megabyte
		says("\x15")
		if s := strings.Join(at.screen(), "\n"); strings.Contains(s, "签名，") {
			t.Errorf("Ctrl-U ends nothing:\n%s", s)
		}
		says(strings.Repeat("4761739001010010", 3) + "\r") // a card
		if s := says(strings.ReplaceAll(good, "\r", " \r\n")); !strings.Contains(s, "2设备") {
			t.Errorf("then the whole one is not taken: %q", s)
		}
	})
}

// A terminal without a cursor is sent an entry as it is typed, but never a PIN; a key opens there too.
func TestAPINIsNotEchoed(t *testing.T) {
	mine, key := newLaptop(t)
	c := Console{Stay: true, Plain: true, PIN: "4711", Keys: []sshsig.Key{key}, Terminal: "t1"}
	serve(t, c, 0, func(term *terminal, _ *fakeBackend) {
		at := &counter{t: t, term: term}
		at.says("\r")
		at.says("x")
		for _, digit := range "471" {
			if s := at.says(string(digit)); strings.ContainsRune(s, digit) || !strings.Contains(s, "*") {
				t.Errorf("typing %c sends %q", digit, s)
			}
		}
		at.says("\x15")
		if s := at.says(mine.run(t, commandOn(t, strings.Split(at.all, "\r\n")))); !strings.Contains(s, "2设备") {
			t.Errorf("signed, and the door stays shut: %q", s)
		}
	})
}
