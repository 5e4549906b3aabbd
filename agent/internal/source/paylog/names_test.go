package paylog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"

	"posdx/agent/internal/source/sourcetest"
	"posdx/agent/report"
)

// at opens a logbook on a pattern; its files are written by name.
func (l *logbook) at(pattern string, resume *mark) {
	l.t.Helper()
	dir := filepath.Dir(l.path)
	l.path = filepath.Join(dir, pattern)
	l.start(resume)
	l.path = filepath.Join(dir, "x")
}

func (l *logbook) file(name, text string) {
	l.t.Helper()
	dir := filepath.Dir(l.path)
	l.path = filepath.Join(dir, name)
	l.must(os.MkdirAll(filepath.Dir(l.path), 0o755))
	l.write(text)
	l.path = filepath.Join(dir, "x")
}

// TestLogsNamedByDate follows what opens a new file every day, under every way to say so: Serilog's and NLog's,
// log4net's with an open date, a folder for each month, a sequence behind it, and the name of one day, as people copy
// it.
func TestLogsNamedByDate(t *testing.T) {
	for _, c := range []struct{ pattern, before, today, next, after string }{
		{"pay_%Y%m%d.log", "pay_20261127.log", "pay_20261128.log", "pay_20261129.log", "pay_20261201.log"},
		{"pay_20261128.log", "pay_20261127.log", "pay_20261128.log", "pay_20261129.log", "pay_20261201.log"},
		{"log-2026-11-28.txt", "log-2026-11-27.txt", "log-2026-11-28.txt", "log-2026-11-29.txt", "log-2026-12-01.txt"},
		{"%d-%m-%Y.log", "30-10-2026.log", "28-11-2026.log", "29-11-2026.log", "01-12-2026.log"},
		{"Log%Y%m%d_*.txt", "Log20261127_7.txt", "Log20261128_1.txt", "Log20261129_1.txt", "Log20261201_9.txt"},
		{"%Y-%j.log", "2025-365.log", "2026-001.log", "2026-002.log", "2026-020.log"},
		{"tef.%y%m%d%H.log", "tef.26112809.log", "tef.26112810.log", "tef.26112811.log", "tef.26120100.log"},
		{"pay_*.log", "pay_20261127.log", "pay_20261128.log", "pay_20261129.log", "pay_20261201.log"},
		{"%Y/%m/pay_%d.log", "2026/10/pay_31.log", "2026/11/pay_28.log", "2026/11/pay_29.log", "2026/12/pay_01.log"},
	} {
		t.Run(strings.ReplaceAll(c.pattern, "%", "."), func(t *testing.T) {
			l := newLogbook(t)
			l.file(c.before, "resp=1\n")
			l.file(c.today, "resp=2\n")
			dir := filepath.Dir(l.path)
			yesterday := time.Now().Add(-24 * time.Hour)
			l.must(os.Chtimes(filepath.Join(dir, c.before), yesterday, yesterday))
			l.at(c.pattern, nil)
			l.want("") // history is not diagnosed
			l.file(c.today, "resp=91\n")
			l.want("91")
			l.file(c.today, "resp=92\n")
			l.file(c.next, "resp=96\n")
			l.want("92 96")
			l.file(c.today, "resp=late\n") // a writer that learns late
			l.file(c.next, "resp=97\n")
			l.want("late 97")
			l.want("")
			m := l.stop()
			l.file(c.next, "resp=98\n")
			l.file(c.after, "resp=99\n")
			l.at(c.pattern, m)
			l.want("98L 99L")
			l.file(c.after, "resp=05\n")
			l.want("05")
			l.file(c.before, "resp=old\n") // somebody touches an old file
			l.want("")
		})
	}
}

func TestPathPatterns(t *testing.T) {
	for path, want := range map[string]string{
		"/var/log/pay.log": "", "/var/log/20261128/pay.log": "", "/l/pay_20261128.log": "/l/pay_%Y%m%d.log", "/l/2026_11_28.txt": "/l/%Y_%m_%d.txt",
		"/l/t120261128.log": "", "/l/pay_20261399.log": "", "/l/20261128-20261129.log": "", "/l/pay_*.log": "/l/pay_*.log", "/l/pos10043871.log": "",
	} {
		got, plain := pathPattern(path)
		if plain != (want == "") || !plain && got != want {
			t.Errorf("%s: %s, plain %v, want %s", path, got, plain, want)
		}
	}
	for _, bad := range []string{"/l/pay_%Q.log", "/l/pay%", "/l/pay_[.log"} {
		if _, err := newNames(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// TestLogsInEveryEncoding reads a line of the countries' own words, whole, cut at every byte, after a restart, and with
// line ends of both kinds.
func TestLogsInEveryEncoding(t *testing.T) {
	for _, c := range []struct {
		name string
		enc  encoding.Encoding
		text string
	}{
		{"latin1", charmap.ISO8859_1, "Sem conexão com o servidor. Cod"}, {"windows-1252", charmap.Windows1252, "Kartenfehler – Gerät Cod"},
		{"windows-1251", charmap.Windows1251, "Отказ банка, код"}, {"koi8-r", charmap.KOI8R, "Отказ банка, код"}, {"cp866", charmap.CodePage866, "Отказ банка, код"},
		{"windows-1250", charmap.Windows1250, "Zamítnuto, kód chyby č"}, {"windows-1253", charmap.Windows1253, "Απόρριψη κωδικός"},
		{"windows-1254", charmap.Windows1254, "İşlem reddedildi, yanıt kodu"}, {"cp850", charmap.CodePage850, "Transacción rechazada código"},
		{"big5", traditionalchinese.Big5, "交易失敗，回應碼許功蓋"}, {"shift-jis", japanese.ShiftJIS, "取引失敗、応答コード表示"},
		{"utf-16le", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), "交易失败，返回码Ċ਍"},
		{"utf-16be", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "交易失败，返回码Ċ਍"}, {"utf-16", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "交易失败"},
		{"utf-16", unicode.UTF16(unicode.BigEndian, unicode.UseBOM), "交易失败"}, {"utf-8", encoding.Nop, "交易失败"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write := func(s string) string {
				b, err := c.enc.NewEncoder().String(s)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			open := func(l *logbook, m *mark) {
				var err error
				file := LogFile{Path: l.path, Encoding: c.name,
					Patterns: []*Pattern{pattern(t, c.text+`=\[(?P<code>\w+)\]$`, Options{Origin: report.OriginHost})}}
				if l.tail, err = newTail(file, l.d, make([]byte, 97), time.Now, m); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(l.tail.close)
			}
			l := newLogbook(t)
			open(l, nil)
			l.want("")
			l.write(write("begins here\r\n" + c.text + "=[96]\r\nsomething " + strings.Repeat("else ", 40) + "\n"))
			l.want("96")
			encode := c.enc
			if c.name == "utf-16" { // the mark is there once
				encode = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
				if bigEndian(l.tail.f) {
					encode = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
				}
			}
			line, err := encode.NewEncoder().String(c.text + "=[91]\n")
			l.must(err)
			for i := range len(line) {
				l.write(line[i : i+1])
				if i < len(line)-1 {
					l.want("")
				}
			}
			l.want("91")
			m := l.stop()
			l.write(strings.Repeat(line, 2))
			open(l, m)
			l.want("91L 91L")
			l.write(line)
			l.want("91")
			if l.tail.decode.wrong != 0 {
				t.Errorf("%d lines are called wrong", l.tail.decode.wrong)
			}
		})
	}
}

// Places are kept on flash: of text with two bytes a character, too, no card number is in them.
func TestNoCardNumberInThePlaceOfAWideLog(t *testing.T) {
	wide := func(s string) []byte {
		b, _ := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().Bytes([]byte(s))
		return b
	}
	if printOf(wide("PAN 4761739001010010 ok")) != printOf(wide("PAN 6222020000000003 ok")) {
		t.Error("the place of a line tells which card is in it")
	}
}

func TestTheSameLogTwice(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pay.log")
	d := sourcetest.NewDaemon()
	a, err := newTail(LogFile{Path: path,
		Patterns: []*Pattern{pattern(t, `host=(?P<code>\w+)`, Options{Origin: report.OriginHost})}}, d, make([]byte, 512), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newTail(LogFile{Path: path,
		Patterns: []*Pattern{pattern(t, `local=(?P<code>\w+)`, Options{Origin: report.OriginTerminal})}}, d, make([]byte, 512), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.key += "#2"
	if err := os.WriteFile(path, []byte("host=96\nlocal=E1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*tail{a, b} {
		if _, _, err := x.read(); err != nil {
			t.Fatal(err)
		}
		defer x.close()
	}
	if s := d.All(); len(s) != 2 || s[0].Origin != report.OriginHost || s[1].Origin != report.OriginTerminal {
		t.Errorf("%+v", s)
	}
	if m := (&Logs{}).places([]*tail{a, b}); len(m) != 2 {
		t.Errorf("places %v", m)
	}
}
