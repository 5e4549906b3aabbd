package paylog

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"posdx/agent/internal/source/sourcetest"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// pack compresses a file as gzip does: name becomes name.gz.
func (l *logbook) pack(name string) {
	l.t.Helper()
	b, err := os.ReadFile(name)
	l.must(err)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	l.must(os.WriteFile(name+".gz", z.Bytes(), 0o600))
	l.must(os.Remove(name))
}

// copytruncate does what logrotate does, packed or not.
func (l *logbook) copytruncate(to string, packed bool) {
	l.t.Helper()
	b, err := os.ReadFile(l.path)
	l.must(err)
	l.must(os.WriteFile(to, b, 0o600))
	l.must(os.Truncate(l.path, 0))
	if packed {
		l.pack(to)
	}
}

// What was written and rotated away between two looks is read where it is now.
func TestTailRotatedBetweenTwoLooks(t *testing.T) {
	for name, rotate := range map[string]func(l *logbook){
		"rename":             func(l *logbook) { l.must(os.Rename(l.path, l.path+".1")) },
		"rename, dated":      func(l *logbook) { l.must(os.Rename(l.path, filepath.Join(filepath.Dir(l.path), "pay.2026-11-22.log"))) },
		"rename, gzip":       func(l *logbook) { l.must(os.Rename(l.path, l.path+".1")); l.pack(l.path + ".1") },
		"copytruncate":       func(l *logbook) { l.copytruncate(l.path+".1", false) },
		"copytruncate, gzip": func(l *logbook) { l.copytruncate(l.path+"-20261122", true) },
		"copytruncate, others": func(l *logbook) {
			for i := range 9 {
				l.must(os.WriteFile(fmt.Sprintf("%s.%d", l.path, i+2), []byte(strings.Repeat("another old log\n", 20)), 0o600))
			}
			l.copytruncate(l.path+".1", false)
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", name, restart), func(t *testing.T) {
				l := newLogbook(t)
				l.write("x\n")
				l.start(nil)
				l.want("")
				l.write(strings.Repeat("-", 100) + "\nresp=01\nresp=0")
				l.want("01")
				var m *mark
				late := ""
				if restart {
					m, late = l.stop(), "L"
				}
				l.write("2\nresp=03\nresp=04\n")
				rotate(l)
				l.write("resp=05\n")
				if restart {
					l.start(m)
				}
				l.want(strings.ReplaceAll("02L 03L 04L 05L", "L", late))
				l.write("resp=06\n")
				l.want("06")
				if len(l.d.Losses) > 0 {
					t.Errorf("lost %v", l.d.Losses)
				}
			})
		}
	}
}

// A packed log is read within bounds, and nothing of it stays in the buffers that could be looked at.
func TestTailPackedBounds(t *testing.T) {
	for name, c := range map[string]struct {
		rows  int // of 1 kB
		codes bool
		lost  string
	}{"a long rest": {4 << 10, true, "log bytes skipped"}, "too long to unpack": {65 << 10, false, "log rotated away"}} {
		t.Run(name, func(t *testing.T) {
			l := newLogbook(t)
			l.write("x\n")
			l.start(nil)
			l.want("")
			l.write(strings.Repeat("-", 100) + "\nresp=00\n")
			l.want("00")
			m := l.stop()
			row := "resp=01 " + strings.Repeat(".", 1015) + "\n"
			l.write(strings.Repeat(row, c.rows))
			l.must(os.Rename(l.path, l.path+".1"))
			l.pack(l.path + ".1")
			l.write("resp=05\n")
			l.start(m)
			l.read()
			n := len(l.d.All()) - 1
			if last := l.d.All()[n]; last.Code != "05" || c.codes != (n > 1000) || n > 1026 || l.d.Losses[c.lost] == 0 {
				t.Errorf("%d codes, the last %s, lost %v", n, last.Code, l.d.Losses)
			}
			if s := strings.Trim(string(l.tail.buf), "\x00"); s != "" {
				t.Errorf("the buffer holds %.40q", s)
			}
		})
	}
}

// An application that keeps its place writes on behind a hole after copytruncate; a power cut leaves zeros too.
func TestTailZeros(t *testing.T) {
	l := newLogbook(t)
	l.write("x\n")
	l.start(nil)
	l.want("")
	l.write(strings.Repeat("-", 100) + "\nresp=01\n")
	l.want("01")
	l.must(os.Truncate(l.path, 0))
	l.must(os.Truncate(l.path, 200<<10))
	l.write("resp=02\nresp=9")
	l.want("02")
	l.write("\x00\x00\x00")
	l.want("")
	if l.d.Losses["log line torn"] != 1 {
		t.Errorf("lost %v, want one torn line", l.d.Losses)
	}
	l.write(strings.Repeat("\x00", 5000) + "resp=03\n\x00resp=04\n")
	l.want("03 04")
	if l.d.Losses["log line torn"] != 1 || len(l.d.Losses) != 1 {
		t.Errorf("lost %v, want one torn line", l.d.Losses)
	}
}

func TestTailRecords(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	l := newLogbook(t)
	file := LogFile{Path: l.path, Begin: regexp.MustCompile(`^\[\d\d:`), Encoding: "gb18030",
		Patterns: []*Pattern{pattern(t, `(?s)交易.*?流水=(?P<stan>\d{6}).*?应答=(?P<code>\w\w)`, Options{})}}
	var err error
	if l.tail, err = newTail(file, l.d, make([]byte, printBytes+32), func() time.Time { return now }, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { l.tail.close() }()
	add := func(s, want string) {
		t.Helper()
		b, err := simplifiedchinese.GB18030.NewEncoder().String(s)
		l.must(err)
		l.write(b)
		l.want(want)
		now = now.Add(recordWait / 2)
		l.want("")
	}
	add("[12:00:01] 交易\n  流水=000001\n", "")
	add("  应答=9", "") // not whole: the line has no end
	add("6\n  卡号=4761739001010010\n[12:00:02] 其他\n", "96")
	add("[12:00:03] 交易 流水=000002\n 应答=97\n", "")
	now = now.Add(recordWait)
	l.want("97") // nothing more came
	add(" 应答=98\n", "")
	add("[12:00:04] 交易 流水=000003\n"+strings.Repeat("x\n", recordLines)+" 应答=99\n[12:00:05]\n", "")
	if l.d.Losses["log record cut"] != 1 {
		t.Errorf("lost %v, want one record cut", l.d.Losses)
	}
	add("[12:00:06] 交易 流水=000004\n 应答=51\n", "")
	l.must(os.Rename(l.path, l.path+".1"))
	l.write("[12:00:07]\n")
	l.want("") // the writer may still be at the old one
	now = now.Add(recordWait / 2)
	l.want("51")
	add("[12:00:08] 交易 流水=000005\n 应答=53\n", "")
	m := l.stop() // a restart takes the open record up again, whole
	l.write(" 更多\n")
	if l.tail, err = newTail(file, l.d, make([]byte, printBytes+32), func() time.Time { return now }, m); err != nil {
		t.Fatal(err)
	}
	add("[12:00:09] 交易 流水=000006\n 应答=5\x00\x00\x00\n", "53L")
	now = now.Add(2 * recordWait)
	l.want("")
	if got := fmt.Sprint(l.d.Losses); got != "map[log line torn:1 log record cut:1]" {
		t.Errorf("lost %s", got)
	}
}

// The last record of an idle log is read a moment after its last line, not at the next look.
func TestLogsEndARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pay.log")
		os.WriteFile(path, nil, 0o600)
		d := sourcetest.NewDaemon()
		file := LogFile{Path: path, Begin: regexp.MustCompile(`^B`), Patterns: []*Pattern{pattern(t, `(?s)^B.*resp=(?P<code>\S+)`, Options{})}}
		l := &Logs{Files: []LogFile{file}, Log: slog.New(slog.DiscardHandler), blind: true}
		ctx, stop := context.WithCancel(t.Context())
		go l.Run(ctx, d)
		defer stop()
		time.Sleep(blindLook)
		os.WriteFile(path, []byte("B\nresp=96\n"), 0o600)
		time.Sleep(blindLook + recordWait + 3*settle)
		if n := len(d.All()); n != 1 {
			t.Errorf("%d codes, want 1", n)
		}
	})
}

// The writer of a log may live in another time zone, have a clock that is wrong, or both.
func TestTailClocks(t *testing.T) {
	for name, off := range map[string]time.Duration{"same": 0, "UTC in Shanghai": -8 * time.Hour,
		"an hour ahead": time.Hour, "37 s slow": -37 * time.Second, "1970": -56 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 11, 22, 9, 30, 0, 0, time.FixedZone("CST", 8*3600))
			l := newLogbook(t)
			l.write("x\n")
			tick := func(d time.Duration) { now = now.Add(d) }
			start := func(m *mark) {
				var err error
				file := LogFile{Path: l.path, Patterns: []*Pattern{pattern(t, `^(?P<time>\S+ \S+) resp=(?P<code>\S+)`, Options{})}}
				if l.tail, err = newTail(file, l.d, make([]byte, 512), func() time.Time { return now }, m); err != nil {
					t.Fatal(err)
				}
			}
			start(nil)
			line := func(code string) {
				l.write(now.Add(off).Format(time.DateTime) + " resp=" + code + "\n")
			}
			check := func(code string, written time.Time, most time.Duration) {
				t.Helper()
				l.want(code)
				s := l.d.All()
				got := s[len(s)-1].Time
				if d := got.Sub(written).Abs(); d > most || got.After(now) {
					t.Errorf("code %s of %v: got %v, %v away", code, written, got, d)
				}
			}
			l.read()
			tick(20 * time.Second)
			line("01")
			written := now
			tick(300 * time.Millisecond)
			check("01", written, 20*time.Second) // somewhere since the last look
			tick(time.Second)
			line("02")
			written = now
			tick(10 * time.Millisecond)
			check("02", written, 2*time.Second)
			// Restarted an hour later: what was written meanwhile has its own time.
			tick(time.Minute)
			line("03")
			written = now
			m := l.stop()
			tick(time.Hour)
			start(m)
			check("03L", written, 3*time.Second)
			l.stop()
		})
	}
}

// Whatever stands where a log should be, the daemon goes on, and reads when there is one.
func TestTailOfOtherThings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pay.log")
	d := sourcetest.NewDaemon()
	file := LogFile{Path: path, Patterns: []*Pattern{pattern(t, `resp=(?P<code>\S+)`, Options{})}}
	tl, err := newTail(file, d, make([]byte, 512), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tl.close()
	look := func(want string) {
		t.Helper()
		done := make(chan error, 1)
		go func() {
			for {
				more, _, err := tl.read()
				if !more {
					done <- err
					return
				}
			}
		}()
		select {
		case err := <-done:
			if got := fmt.Sprint(err); !strings.Contains(got, want) {
				t.Errorf("got %v, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the reader hangs, want %q", want)
		}
	}
	look("no such file")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	look("not a regular file")
	os.Remove(path)
	os.Mkdir(path, 0o700)
	look("not a regular file")
	os.Remove(path)
	os.Symlink("/dev/zero", path)
	look("not a regular file")
	os.Remove(path)
	os.WriteFile(path, []byte("resp=01\n"), 0o600)
	look("nil")
	os.Remove(path)
	os.Mkdir(path, 0o700) // under our feet
	look("not a regular file")
	os.RemoveAll(filepath.Dir(path))
	look("no such file")
	os.Mkdir(filepath.Dir(path), 0o700)
	os.WriteFile(path, []byte("resp=02\n"), 0o600)
	look("nil")
	if s := d.All(); len(s) != 2 || s[0].Code != "01" || s[1].Code != "02" {
		t.Errorf("got %+v, want 01 and 02", s)
	}
}

// An endless line costs no memory, and its bytes are read once.
func TestTailEndlessLine(t *testing.T) {
	l := newLogbook(t)
	l.write("x\n")
	l.start(nil)
	l.want("")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	piece := strings.Repeat("resp=01 ", 8<<10)
	for range 500 { // 32 MB
		l.write(piece)
		l.read()
	}
	runtime.ReadMemStats(&after)
	l.want("01")
	if c := cap(l.tail.lines.line); c > maxLogLine {
		t.Errorf("a buffer of %d bytes", c)
	}
	if n := after.Mallocs - before.Mallocs; n > 500*200 {
		t.Errorf("%d allocations", n)
	}
	if l.tail.at.Offset != 2+500*64<<10 {
		t.Errorf("the place is %d, want the end: else a restart reads all of it again", l.tail.at.Offset)
	}
	l.write("\nresp=02\n")
	l.want("02")
}

// A place that is kept on flash holds nothing of a card number that stands before it.
func TestPrintHoldsNoCard(t *testing.T) {
	form := func(s string) uint64 { return printOf([]byte(s)) }
	for _, card := range []string{"4761739001010010", "4761 7390 0101 0010", "4761-7390-0101-0010"} {
		other := strings.NewReplacer("4", "5", "1", "8", "9", "3").Replace(card)
		if form("RC=96 card "+card+" end\n") != form("RC=96 card "+other+" end\n") {
			t.Errorf("%s has a part in the hash", card)
		}
	}
	if form("2026-11-22 10:00:00 RC=96\n") == form("2026-11-22 10:00:01 RC=96\n") {
		t.Error("two times have one hash")
	}
	if form("0010 RC=96\n") != form("1234 RC=96\n") {
		t.Error("the end of a card number, cut by the window, has a part in the hash")
	}
}

// Reading the tail of 100 MB after a restart takes the last MB and says so; the rest is not touched.
func BenchmarkBacklog(b *testing.B) {
	path := filepath.Join(b.TempDir(), "pay.log")
	head := strings.Repeat("-", 100) + "\n"
	row := []byte("2026-11-22 10:00:00 debug card 4761739001010010 resp=01 " + strings.Repeat(".", 960) + "\n")
	os.WriteFile(path, append([]byte(head), bytes.Repeat(row, 100<<10)...), 0o600)
	f, _ := os.Open(path)
	m := mark{Offset: int64(len(head)), Print: fingerprint(f, int64(len(head)))}
	f.Close()
	file := LogFile{Path: path, Patterns: []*Pattern{pattern(b, `^(?P<time>\S+ \S+).*resp=(?P<code>\S+)`, Options{})}}
	for b.Loop() {
		place := m
		d := sourcetest.NewDaemon()
		t, err := newTail(file, d, make([]byte, readAtOnce), time.Now, &place)
		if err != nil {
			b.Fatal(err)
		}
		for more := true; more; {
			if more, _, err = t.read(); err != nil {
				b.Fatal(err)
			}
		}
		if len(d.Events) < 1000 || d.Losses["log bytes skipped"] < 90<<20 {
			b.Fatalf("%d codes, lost %v", len(d.Events), d.Losses)
		}
		t.close()
	}
}
