package console

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// A technician's picocom on the other end of a line sees the screen, and its keys arrive.
func TestPicocom(t *testing.T) {
	if _, err := exec.LookPath("picocom"); err != nil {
		t.Skip("needs picocom (Debian package picocom)")
	}
	line, far, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	defer far.Close()
	if _, err := term.MakeRaw(int(far.Fd())); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	back := &fakeBackend{}
	c := Console{Backend: back, Knowledge: know, Lang: "zh", Stay: true}
	over := make(chan error, 1)
	go func() { over <- c.Run(ctx, line) }()
	defer func() {
		stop()
		line.Close()
		<-over
	}()

	pc := exec.Command("picocom", "-q", "-b", "9600", "--noreset", far.Name())
	keyboard, err := pty.StartWithSize(pc, &pty.Winsize{Rows: rows, Cols: cols + 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Wait()
	defer pc.Process.Kill()
	defer keyboard.Close()
	keyboard.SetDeadline(time.Now().Add(60 * time.Second))

	// until reads what the technician sees and answers questions for the cursor as his terminal would.
	var seen bytes.Buffer
	cursor := "\x1b[1;3R" // after the Chinese character; then where the screen ends
	until := func(text string) {
		t.Helper()
		b := make([]byte, 4096)
		for !strings.Contains(seen.String(), text) {
			n, err := keyboard.Read(b)
			if err != nil {
				t.Fatalf("%v before %q; seen %q", err, text, seen.String())
			}
			// Two questions may come in one read; the next does not come before both are answered.
			for asks := []byte("\x1b[6n"); bytes.Contains(b[:n], asks); n -= len(asks) {
				i := bytes.Index(b[:n], asks)
				copy(b[i:], b[i+len(asks):n])
				keyboard.WriteString(cursor)
				cursor = "\x1b[24;80R"
			}
			seen.Write(b[:n])
		}
		seen.Reset()
	}
	press := func(keys string) { keyboard.WriteString(keys) }

	// picocom throws away what comes before it is ready; Enter does no harm.
	knock := time.NewTicker(200 * time.Millisecond)
	defer knock.Stop()
	ready, come := context.WithCancel(ctx)
	go func() {
		for {
			select {
			case <-knock.C:
				press("\r")
			case <-ready.Done():
				return
			}
		}
	}()
	until("款项")
	come()
	press("2")
	until("reader0")
	press("6")
	until("K 7 Q F")
	press("4\x15A0\r")
	until("A0")
	if q := back.questions(); len(q) != 1 || q[0] != "zh A0" {
		t.Errorf("asked %q, want zh A0", q)
	}
	press("q")
	until("press Enter")
}
