package paylog

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"posdx/agent/internal/source"
	"posdx/agent/internal/source/sourcetest"
	"posdx/agent/report"
)

func pattern(t testing.TB, expr string, o Options) *Pattern {
	t.Helper()
	p, err := CompilePattern(expr, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A logbook is a log under test and one tail on it, read when the test says so.
type logbook struct {
	t    *testing.T
	path string
	d    *sourcetest.FakeDaemon
	tail *tail
	had  int
}

func newLogbook(t *testing.T) *logbook {
	return &logbook{t: t, path: filepath.Join(t.TempDir(), "pay.log"), d: sourcetest.NewDaemon()}
}

func (l *logbook) start(resume *mark) {
	l.t.Helper()
	file := LogFile{Path: l.path, Patterns: []*Pattern{pattern(l.t, `resp=(?P<code>\S+)`, Options{Origin: report.OriginHost})}}
	var err error
	if l.tail, err = newTail(file, l.d, make([]byte, 512), time.Now, resume); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(l.tail.close)
}

func (l *logbook) stop() *mark {
	l.tail.close()
	m := l.tail.last
	return &m
}

func (l *logbook) write(s string) {
	l.t.Helper()
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(s); err != nil {
		l.t.Fatal(err)
	}
}

func (l *logbook) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *logbook) read() {
	l.t.Helper()
	for range 1000 {
		more, blocked, err := l.tail.read()
		if err != nil && !os.IsNotExist(err) {
			l.t.Fatal(err)
		}
		if !more || blocked {
			return
		}
	}
	l.t.Fatal("reading does not end")
}

// want reads and compares the codes that are new, "late" ones with an L.
func (l *logbook) want(codes string) {
	l.t.Helper()
	l.read()
	held := bytes.Join([][]byte{l.tail.buf, l.tail.lines.line[:cap(l.tail.lines.line)],
		l.tail.record.text[:cap(l.tail.record.text)], l.tail.decode.text}, nil)
	if s := strings.Trim(string(held), "\x00"); s != "" {
		l.t.Errorf("between two looks %.60q is held", s)
	}
	var got []string
	all := l.d.All()
	for _, s := range all[l.had:] {
		c := s.Code
		if s.Late {
			c += "L"
		}
		got = append(got, c)
	}
	l.had = len(all)
	if strings.Join(got, " ") != codes {
		l.t.Errorf("got codes %q, want %q", got, codes)
	}
}

func TestTailGrowingFile(t *testing.T) {
	l := newLogbook(t)
	l.write("resp=01\n")
	l.start(nil)
	l.want("") // history before the installation
	l.write("resp=96\nresp=97 rest\r\nnothing\nresp=")
	l.want("96 97")
	l.write("5")
	l.want("")
	l.write("1\n")
	l.want("51")
}

func TestTailStartsInTheMiddleOfALine(t *testing.T) {
	l := newLogbook(t)
	l.write("2026 resp=0")
	l.start(nil)
	l.want("")
	l.write("0 resp=97\nresp=96\n")
	l.want("96")
}

func TestTailFileThatAppears(t *testing.T) {
	l := newLogbook(t)
	l.start(nil)
	l.want("")
	l.write("resp=96\n")
	l.want("96") // nobody read before it was there, and nothing was written
}

func TestTailRename(t *testing.T) {
	l := newLogbook(t)
	l.write("\n")
	l.start(nil)
	l.want("")
	l.write("resp=01\n")
	l.must(os.Rename(l.path, l.path+".1"))
	l.want("01")
	// The app still holds the old file and writes to it; the new one is not there yet.
	old, err := os.OpenFile(l.path+".1", os.O_APPEND|os.O_WRONLY, 0)
	l.must(err)
	defer old.Close()
	fmt.Fprint(old, "resp=02\n")
	l.want("02")
	fmt.Fprint(old, "resp=03\nresp=04") // and no line end
	l.write("resp=05\n")
	l.want("03 05")
	fmt.Fprint(old, "\nresp=0") // its writer does not know yet that the log is another
	l.want("04")
	l.tail.old.grew = l.tail.old.grew.Add(-lastLine)
	l.want("0") // nor that its last line has no end
	l.write("resp=06\n")
	l.want("06")
}

func TestTailTruncate(t *testing.T) {
	l := newLogbook(t)
	l.write("x\n")
	l.start(nil)
	l.want("")
	l.write("resp=01\nresp=0")
	l.want("01")
	l.must(os.Truncate(l.path, 0))
	l.write("resp=02\n")
	l.want("02")
}

// copytruncate, and by the time we look the new content is longer than the old was.
func TestTailTruncateAndGrown(t *testing.T) {
	l := newLogbook(t)
	l.write("x\n")
	l.start(nil)
	l.want("")
	l.write("resp=01\n")
	l.want("01")
	l.must(os.Truncate(l.path, 0))
	l.write("resp=02\nresp=03\nresp=04\n")
	l.want("02 03 04")
}

// A file with a counter in its head must not be read again and again.
func TestTailHeaderRewrittenInPlace(t *testing.T) {
	l := newLogbook(t)
	l.write("count 000\n" + strings.Repeat("-", 100) + "\n")
	l.start(nil)
	l.want("")
	for i := range 3 {
		l.write("resp=01\n")
		f, err := os.OpenFile(l.path, os.O_WRONLY, 0)
		l.must(err)
		fmt.Fprintf(f, "count %03d\n", i+1)
		f.Close()
		l.want("01")
	}
}

func TestTailDeleted(t *testing.T) {
	l := newLogbook(t)
	l.write("x\n")
	l.start(nil)
	l.want("")
	l.must(os.Remove(l.path))
	l.read()
	if l.tail.f != nil {
		t.Error("a deleted log is held open: its space is lost")
	}
	l.write("resp=02\n")
	l.want("02")
}

func TestTailAcrossRestarts(t *testing.T) {
	for _, c := range []struct {
		name  string
		while func(l *logbook)
		want  string
		lost  string
	}{
		{"nothing", func(l *logbook) {}, "", ""},
		{"grown", func(l *logbook) { l.write("resp=02\n") }, "02L", ""},
		{"renamed", func(l *logbook) {
			l.write("resp=02\n")
			l.must(os.Rename(l.path, l.path+".1"))
			l.write("resp=03\n")
		}, "02L 03L", ""},
		{"renamed, no new one", func(l *logbook) { l.must(os.Rename(l.path, l.path+".1")) }, "", ""},
		{"compressed", func(l *logbook) {
			b, err := os.ReadFile(l.path)
			l.must(err)
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			w.Write(b)
			w.Close()
			l.must(os.WriteFile(l.path+".2.gz", z.Bytes(), 0o600))
			l.must(os.Remove(l.path))
			l.write("resp=03\n")
		}, "03L", ""},
		{"truncated", func(l *logbook) { l.must(os.Truncate(l.path, 0)); l.write("resp=02\n") }, "02L", "log rotated away"},
		{"truncated and grown", func(l *logbook) {
			l.must(os.Truncate(l.path, 0))
			l.write(strings.Repeat("y", 200) + "\nresp=02\n")
		}, "02L", "log rotated away"},
		{"copied to another disk", func(l *logbook) {
			b, err := os.ReadFile(l.path)
			l.must(err)
			l.must(os.Remove(l.path))
			l.must(os.WriteFile(l.path+".other", nil, 0o600)) // takes the inode
			l.write(string(b) + "resp=02\n")
		}, "02L", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLogbook(t)
			l.write("x\n")
			l.start(nil)
			l.want("")
			l.write(strings.Repeat("-", 100) + "\nresp=01\nresp=0")
			l.want("01")
			m := l.stop()
			l.write("0\n")
			c.while(l)
			l.start(m)
			if c.lost == "" && c.name != "copied to another disk" {
				c.want = strings.TrimSpace("00L " + c.want)
			} else if c.name == "copied to another disk" {
				c.want = "00L " + c.want
			}
			l.want(c.want)
			for kind := range l.d.Losses {
				if kind != c.lost {
					t.Errorf("lost %q, want %q", kind, c.lost)
				}
			}
			if c.lost != "" && l.d.Losses[c.lost] != 1 {
				t.Errorf("lost %v, want one %q", l.d.Losses, c.lost)
			}
		})
	}
}

func TestTailBacklog(t *testing.T) {
	l := newLogbook(t)
	l.write("x\n")
	l.start(nil)
	l.want("")
	m := l.stop()
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_WRONLY, 0)
	l.must(err)
	defer f.Close()
	row := []byte("resp=01 " + strings.Repeat(".", 1015) + "\n")
	for range 100 << 10 {
		f.Write(row)
	}
	l.start(m)
	l.read()
	if n := len(l.d.All()); n < 1000 || n > 1024 {
		t.Errorf("100 MB gave %d codes, want those of the last MB", n)
	}
	if got, want := l.d.Losses["log bytes skipped"], 99<<20; got < want-1024 || got > want+1024 {
		t.Errorf("lost %v, want %d bytes skipped", l.d.Losses, want)
	}
}

func TestTailLongLine(t *testing.T) {
	l := newLogbook(t)
	l.write("x\n")
	l.start(nil)
	l.want("")
	l.write("resp=01 " + strings.Repeat("x", 1<<20) + " resp=02\nresp=03\n" + strings.Repeat("y", 1<<20) + "resp=04\n")
	l.want("01 03")
	if l.d.Losses["log line cut"] != 2 {
		t.Errorf("lost %v, want 2 lines cut", l.d.Losses)
	}
	if c := cap(l.tail.lines.line); c > 2*maxLogLine {
		t.Errorf("a line of 1 MB made a buffer of %d", c)
	}
}

func TestTailFullSink(t *testing.T) {
	l := newLogbook(t)
	l.start(nil)
	l.d.Room = 2
	l.write("resp=01\nresp=02\nresp=03\nresp=04\n")
	l.want("01 02")
	l.d.Room = 3
	l.want("03")
	l.d.Room = 9
	l.want("04")
}

func TestTailRefusesCardNumbers(t *testing.T) {
	l := newLogbook(t)
	l.start(nil)
	l.write("resp=4761739001010010\nresp=4761-7390-0101-0010\nresp=" + strings.Repeat("A", 65) + "\nresp=\xff\xfe\nresp=05\n")
	l.want("05")
	if l.d.Losses["log code refused"] != 4 {
		t.Errorf("lost %v, want 4 codes refused", l.d.Losses)
	}
}

func TestPatternGroups(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 5, 0, 0, time.UTC)
	p := pattern(t, `^(?P<time>\d\d:\d\d:\d\d) 应答 (?P<mti>\d{4}) (?P<stan>\d+) tid=(?P<tid>\S+) (?P<entry>\w+) (?P<scheme>\S+) (?P<origin>\w+) 码:(?P<code>\w+)`,
		Options{Layout: "15:04:05"})
	f, ok, refused := p.read([]byte("23:59:58 应答 0210 000123 tid=10043871 chip unionpay host 码:96 card 4761739001010010"), now)
	if !ok || refused || f.seen == nil {
		t.Fatalf("got %+v %v %v", f, ok, refused)
	}
	s := *f.seen
	want := report.Txn{MTI: "0210", STAN: "000123", TerminalID: "10043871", Entry: "chip"}
	if s.Code != "96" || s.Scheme != "unionpay" || s.Origin != report.OriginHost || s.Channel != report.ChannelLog || *s.Txn != want {
		t.Errorf("got %+v %+v", s, *s.Txn)
	}
	if at := time.Date(2026, 11, 20, 23, 59, 58, 0, time.UTC); !f.at.Equal(at) {
		t.Errorf("got time %v, want %v: ten to midnight, read after midnight", f.at, at)
	}
	// A member that is not what it should be is left out; the code still counts.
	q := pattern(t, `(?P<card_scheme>\S+) (?P<code>\w\w)$`, Options{})
	for word, want := range map[string]string{"VISA": "visa", "unionpay": "unionpay", "476173": "", "bank": ""} {
		f, _, _ := q.read([]byte(word+" 96"), now)
		if got := f.seen.Txn; got == nil && want != "" || got != nil && got.CardScheme != want {
			t.Errorf("%s is read as %+v, want card scheme %q", word, got, want)
		}
	}
	f, _, _ = p.read([]byte("23:59:58 应答 0210 4761739001010010 tid=4761739001010010 chap x host 码:96"), now)
	if f.seen == nil || f.seen.Txn.STAN != "" || f.seen.Txn.TerminalID != "" || f.seen.Txn.Entry != "" {
		t.Errorf("got %+v, want the bad members left out", f.seen)
	}
}

func TestPatternMarks(t *testing.T) {
	p := pattern(t, `交易开始 stan=(?P<stan>\d+)`, Options{Mark: source.PhaseStart})
	f, ok, _ := p.read([]byte("交易开始 stan=000007"), time.Now())
	if !ok || f.mark == nil || f.mark.Phase != source.PhaseStart || f.mark.Txn.STAN != "000007" {
		t.Errorf("got %+v", f)
	}
}

func TestLogTime(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 5, 0, 0, time.UTC)
	for _, c := range []struct{ layout, v, want string }{
		{time.DateTime, "2026-12-31 23:59:00", "2026-12-31T23:59:00Z"},
		{"01-02 15:04:05.000", "12-31 23:59:00.250", "2026-12-31T23:59:00.25Z"},
		{"Jan _2 15:04:05", "Jan  1 00:04:00", "2027-01-01T00:04:00Z"},
		{"15:04:05", "23:59:00", "2026-12-31T23:59:00Z"},
		{"15:04:05", "00:04:00", "2027-01-01T00:04:00Z"},
		{"15:04:05", "noon", ""},
	} {
		w, ok := logTime(c.layout, c.v, now)
		if got := w.Format(time.RFC3339Nano); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("logTime(%q, %q) = %s %v, want %s", c.layout, c.v, got, ok, c.want)
		}
	}
}

func TestCompilePatternErrors(t *testing.T) {
	for _, c := range []struct {
		expr string
		o    Options
		has  string
	}{
		{`(`, Options{}, "missing closing"},
		{`resp=(\d+)`, Options{}, "(?P<code>"},
		{`(?P<code>\d+) (?P<pan>\d+)`, Options{}, `"pan"; there are code`},
		{`(?P<code>\d+)`, Options{Origin: "moon"}, "host terminal"},
		{`x`, Options{Mark: "dance"}, "start read"},
		{`x`, Options{Mark: source.PhaseEnd, Result: "won"}, "approved"},
		{`(?P<code>` + strings.Repeat("x", 1024) + `)`, Options{}, "longer"},
	} {
		if _, err := CompilePattern(c.expr, c.o); err == nil || !strings.Contains(err.Error(), c.has) {
			t.Errorf("CompilePattern(%.40q, %+v): got %v, want %q in it", c.expr, c.o, err, c.has)
		}
	}
}

func TestTailGB18030(t *testing.T) {
	d := sourcetest.NewDaemon()
	path := filepath.Join(t.TempDir(), "pay.log")
	tl, err := newTail(LogFile{Path: path, Encoding: "gb18030",
		Patterns: []*Pattern{pattern(t, `返回码[:：]\s*(?P<code>\w+)`, Options{})}}, d, make([]byte, 64), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tl.close()
	// 镕 ends in 0x46 and the four-byte 㐀 holds digits: trail bytes that look like ASCII.
	b, err := simplifiedchinese.GB18030.NewEncoder().String("朱镕㐀交易失败，返回码：96\nplain 返回码: 97\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tl.read(); err != nil {
		t.Fatal(err)
	}
	if s := d.All(); len(s) != 2 || s[0].Code != "96" || s[1].Code != "97" {
		t.Errorf("got %+v, want 96 and 97", s)
	}
	if _, err := newTail(LogFile{Path: path, Encoding: "ebcdic"}, d, nil, time.Now, nil); err == nil {
		t.Error("an unknown encoding was taken")
	}
}

// A seenSink passes codes to the test.
type seenSink struct {
	*sourcetest.FakeDaemon
	came chan source.Seen
}

func (s seenSink) Seen(v source.Seen) bool { s.came <- v; return true }

// The kernel tells of a line, also after a rotation: nobody waits for a tick.
func TestLogsFollowInotify(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pay.log")
	os.WriteFile(path, nil, 0o600)
	to := seenSink{sourcetest.NewDaemon(), make(chan source.Seen, 10)}
	l := &Logs{Files: []LogFile{{Path: path, Patterns: []*Pattern{pattern(t, `resp=(?P<code>\w+)`, Options{})}}},
		State: filepath.Join(dir, "places"), Log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- l.Run(ctx, to) }()
	write := func(code string) {
		f, _ := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		fmt.Fprintf(f, "resp=%s\n", code)
		f.Close()
	}
	// Until the log is open the lines written to it are history.
	for opened := false; !opened; {
		write("00")
		select {
		case <-to.came:
			opened = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	for i := 1; i <= 5; i++ {
		os.Rename(path, fmt.Sprintf("%s.%d", path, i))
		write(fmt.Sprintf("9%d", i))
		for {
			select {
			case s := <-to.came:
				if s.Code == "00" {
					continue
				}
				if s.Code != fmt.Sprintf("9%d", i) {
					t.Fatalf("got %+v, want 9%d", s, i)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("code %d was not seen", i)
			}
			break
		}
	}
	stop()
	if err := <-over; err != nil {
		t.Errorf("Run: %v", err)
	}
	m, err := loadMarks(l.State)
	if fi, _ := os.Stat(path); err != nil || m[path] == nil || m[path].Offset != fi.Size() {
		t.Errorf("got places %+v, %v; want %s at its end", m, err, path)
	}
}

// Nothing is written to flash while nothing happens, nor for lines that say nothing.
func TestLogsWriteNoFlashForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path, state := filepath.Join(dir, "pay.log"), filepath.Join(dir, "places")
		os.WriteFile(path, []byte("x\n"), 0o600)
		d := sourcetest.NewDaemon()
		l := &Logs{Files: []LogFile{{Path: path, Patterns: []*Pattern{pattern(t, `resp=(?P<code>\w+)`, Options{})}}},
			State: state, Log: slog.New(slog.DiscardHandler), blind: true}
		ctx, stop := context.WithCancel(t.Context())
		go l.Run(ctx, d)
		time.Sleep(3 * blindLook)
		os.Remove(state)
		add := func(s string) {
			f, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			f.WriteString(s)
			f.Close()
			time.Sleep(3 * blindLook)
		}
		add("nothing\n")
		add("resp=00\n")
		if _, err := os.Stat(state); err == nil {
			t.Error("places were written although nothing needs them")
		}
		add("resp=96\n")
		if _, err := os.Stat(state); err != nil {
			t.Error("places were not written after a failure: it would be seen twice after a crash")
		}
		if n := len(d.All()); n != 2 {
			t.Errorf("got %d codes, want 2", n)
		}
		before, _ := os.Stat(state)
		stop()
		synctest.Wait()
		if after, _ := os.Stat(state); !os.SameFile(before, after) {
			t.Error("the same places were written again at the end")
		}
	})
}

// Places that a full or missing file system did not take are written as soon as it does, without a new line in the log.
func TestLogsWritePlacesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path, state := filepath.Join(dir, "pay.log"), filepath.Join(dir, "later", "places")
		os.WriteFile(path, []byte("x\n"), 0o600)
		l := &Logs{Files: []LogFile{{Path: path, Patterns: []*Pattern{pattern(t, `resp=(?P<code>\w+)`, Options{})}}},
			State: state, Log: slog.New(slog.DiscardHandler), blind: true}
		ctx, stop := context.WithCancel(t.Context())
		go l.Run(ctx, sourcetest.NewDaemon())
		time.Sleep(3 * blindLook)
		os.WriteFile(path, []byte("x\nresp=96\n"), 0o600)
		time.Sleep(3 * blindLook)
		os.Mkdir(filepath.Dir(state), 0o700)
		time.Sleep(2 * saveAgain)
		if m, err := loadMarks(state); err != nil || m[path] == nil || m[path].Offset != 10 {
			t.Errorf("got places %v, %v; want the end of the log", m, err)
		}
		stop()
		synctest.Wait()
	})
}

func TestMarksFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "places")
	want := map[string]*mark{"/a": {1, 2, 3, 1 << 63, -3600000}}
	if err := saveMarks(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := loadMarks(path)
	if err != nil || !samePlaces(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "{", `[1]`, `{"/a":{"offset":"x"}}`} {
		os.WriteFile(path, []byte(bad), 0o600)
		if m, err := loadMarks(path); err == nil || len(m) != 0 {
			t.Errorf("%q: got %v, %v, want an error", bad, m, err)
		}
	}
	os.WriteFile(path, []byte(`{"/a":null,"/b":{"offset":-1}}`), 0o600)
	if m, err := loadMarks(path); err != nil || len(m) != 0 {
		t.Errorf("senseless places: got %v, %v, want none", m, err)
	}
}
