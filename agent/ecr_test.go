package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// TestRegisterLinkIsDiagnosed plants a card number in a result on a register link: the code is diagnosed, and the
// number is nowhere.
func TestRegisterLinkIsDiagnosed(t *testing.T) {
	far, near := housetest.HeldTTY(t)
	dir := t.TempDir()
	text := least + "state_dir = \"" + dir + "/state\"\n[hook]\nsocket = \"" + dir + "/s\"\n[[ecr]]\nname = \"ecr0\"\nframing = \"transbank\"\nrx = [\"" + near + "\"]\nbaud = 9600\n"
	c, err := parseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var talk bytes.Buffer
	gate := &report.Gate{}
	tasks, closing, err := build(c, slog.New(slog.NewTextHandler(gate.Writer(&talk), nil)), gate)
	if err != nil {
		t.Fatal(err)
	}
	client, stop := serve(t, c, tasks, closing)
	const pan = "4761739001010010"
	frame := "0210|02|597029414300|75001088|" + pan + "|;" + pan + "=25122011758900000000?|\x03"
	sum := byte(0)
	for i := range len(frame) {
		sum ^= frame[i]
	}
	var said string
	if !housetest.Within(housetest.Patience, func() bool {
		// The port may not be open yet, and a line keeps nothing for those who come later.
		fmt.Fprintf(far, "\x02%s%c", frame, sum)
		state, err := client.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said = mustJSON(t, state)
		return strings.Contains(said, "transbank:02")
	}) {
		t.Fatalf("the code does not appear: %s\n%s", said, talk.String())
	}
	stop()
	look := func(where string, b []byte) {
		if bytes.Contains(b, []byte(pan)) || bytes.Contains(b, []byte(pan[:8])) {
			t.Errorf("%s holds the card number", where)
		}
	}
	look("state", []byte(said))
	look("log", talk.Bytes())
	kept := 0
	err = filepath.WalkDir(c.StateDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		look(path, b)
		kept += bytes.Count(b, []byte(`"channel":"ecr"`))
		return err
	})
	if err != nil || kept == 0 || gate.Stopped() != 0 {
		t.Errorf("%d diagnoses of the link kept, the gate stopped %d, %v", kept, gate.Stopped(), err)
	}
}

// TestApprovalsOfARegisterLinkReachTheTally hears sales that went well, which the link tells without a code: they are
// the base against which failures count.
func TestApprovalsOfARegisterLinkReachTheTally(t *testing.T) {
	far, near := housetest.HeldTTY(t)
	dir := t.TempDir()
	c := mustParse(t, least+"state_dir = \""+dir+"/state\"\n[hook]\nsocket = \""+dir+"/s\"\n[[ecr]]\nname = \"ecr0\"\nframing = \"transbank\"\nrx = [\""+near+"\"]\nbaud = 9600\n")
	var talk bytes.Buffer
	gate := &report.Gate{}
	d, tasks, closing, err := assemble(c, slog.New(slog.NewTextHandler(gate.Writer(&talk), nil)), gate)
	if err != nil {
		t.Fatal(err)
	}
	_, stop := serve(t, c, tasks, closing)
	defer stop()
	say := func(text string) {
		sum := byte(3)
		for i := range len(text) {
			sum ^= text[i]
		}
		fmt.Fprintf(far, "\x02%s\x03%c", text, sum)
	}
	frames := func() (n int) {
		for _, l := range d.links[0].Lines() {
			n += l.Counts.Frames
		}
		return n
	}
	housetest.Until(t, "the link is listened to", func() bool { say("0100"); return frames() > 0 })
	const sales = 38
	for i := range sales {
		before := frames()
		say(fmt.Sprintf("0200|%d|", 1000+i))
		say("0210|00|597029414300|75001088|")
		housetest.Until(t, "the sale is heard", func() bool { return frames() >= before+2 })
	}
	say("0500|")
	say("0510|00|597029414300|75001088|") // the day is closed: no sale
	n := 0
	housetest.Until(t, "all are counted", func() bool {
		for _, c := range d.loop.TakeTally(time.Now()).Counts {
			if c.Code == "00" {
				n += c.Count
			}
		}
		return n >= sales
	})
	if n != sales {
		t.Errorf("%d approvals were counted as %d", sales, n)
	}
}
