package paylog

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/source/sourcetest"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// TestTheJournalIsReadThroughItsOwnReader puts a program in the reader's place, which is asked for the unit and its new
// messages alone, dies, and is started again.
func TestTheJournalIsReadThroughItsOwnReader(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho \"$@\" >>" + dir + "/asked\necho 'sale 4761739001010010 resp=9'\"$(wc -l <" + dir + "/asked | tr -d ' ')\"\n"
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	d := sourcetest.NewDaemon()
	log := &housetest.Buffer{}
	l := &Logs{Log: slog.New(slog.NewTextHandler(log, nil)), again: time.Millisecond,
		Files: []LogFile{{Path: "journal:pay.service", Patterns: []*Pattern{pattern(t, `resp=(?P<code>\d+)`, Options{Origin: report.OriginHost})}}}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx, d) }()
	housetest.Until(t, "three messages", func() bool { return len(d.All()) >= 3 })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if s := d.All(); s[0].Code != "91" || s[1].Code != "92" || s[0].Channel != report.ChannelLog {
		t.Errorf("%+v", s)
	}
	asked, _ := os.ReadFile(dir + "/asked")
	if s := string(asked); !strings.HasPrefix(s, "--unit=pay.service --follow --lines=0") {
		t.Errorf("asked for %s", s)
	}
	if n := strings.Count(log.String(), "cannot be read"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log)
	}
}
