package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/report"
	"posdx/codes"
)

func TestEveryCauseHasAFault(t *testing.T) {
	made := map[string]bool{}
	seen := map[string]bool{}
	for _, f := range faults() {
		made[f.cause] = true
		if seen[f.name] || f.how == "" || f.event.code == "" {
			t.Errorf("fault %q of faults_table_test.go: its name stands twice, or it has no how or no code", f.name)
		}
		seen[f.name] = true
	}
	for _, c := range codes.Builtin().Causes {
		if !made[c.ID] {
			t.Errorf("no fault ends in cause %s: add one to faults_table_test.go that makes it happen", c.ID)
		}
		delete(made, c.ID)
	}
	delete(made, "unexplained")
	for id := range made {
		t.Errorf("a fault of faults_table_test.go ends in %s, which is no cause of causes.txt", id)
	}
}

// together is how many shops stand at the same time: most of one's time is waiting.
const together = 4

// Budgets of the contract: of the first revision, and of the last at the median.
const (
	firstBudget = 100.0 // ms
	finalBudget = 3000.0
)

func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("long: each fault is made in a shop of its own")
	}
	list := faults()
	results := make([]result, len(list))
	room := make(chan struct{}, together)
	var alone sync.RWMutex
	// A test that is given up, or skipped, ends inside tryFault: what it holds is let go all the same.
	beside := func(t *testing.T, f fault) result {
		room <- struct{}{}
		defer func() { <-room }()
		alone.RLock()
		defer alone.RUnlock()
		return tryFault(t, f)
	}
	byItself := func(t *testing.T, f fault) result {
		alone.Lock()
		defer alone.Unlock()
		return tryFault(t, f)
	}
	t.Run("made", func(t *testing.T) {
		for i, f := range list {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				got := beside(t, f)
				if got.Skip == "" && (got.Error != "" || got.first() != f.cause) {
					// What stood beside it on this machine may have hidden the fault: once more, with the machine to itself.
					t.Logf("again alone: %s %s", got.Error, got.first())
					got = byItself(t, f)
				}
				results[i] = got
				judgeFault(t, f, got)
			})
		}
	})
	var first, final []float64
	for i, r := range results {
		if list[i].cause != "none" && r.Error == "" && r.Skip == "" && r.FinalMS > 0 {
			first, final = append(first, r.FirstMS), append(final, r.FinalMS)
		}
	}
	if len(final) == 0 {
		return
	}
	slices.Sort(first)
	slices.Sort(final)
	t.Logf("%d faults: first revision after %.0f ms at the median, %.0f at most; final one after %.0f, %.0f at most",
		len(final), first[len(first)/2], first[len(first)-1], final[len(final)/2], final[len(final)-1])
	if first[len(first)/2] > firstBudget || final[len(final)/2] > finalBudget {
		t.Errorf("want %v ms and %v ms at the median", firstBudget, finalBudget)
	}
	if os.Getenv("POSDX_FAULTS") != "" && !t.Failed() {
		if err := writeFaultTable(results); err != nil {
			t.Error(err)
		}
	}
}

// first is the cause at rank 1.
func (r result) first() string {
	if len(r.Diagnosis.Causes) == 0 {
		return report.Unexplained
	}
	return r.Diagnosis.Causes[0].ID
}

func judgeFault(t *testing.T, f fault, got result) {
	t.Helper()
	switch {
	case got.Skip != "":
		t.Skip(got.Skip)
	case got.Error != "":
		t.Fatalf("%s\n%s", got.Error, got.DaemonSaid)
	}
	t.Logf("%-18s first %4.0f ms, final %4.0f ms", got.first(), got.FirstMS, got.FinalMS)
	if got.first() == f.cause {
		return
	}
	for _, c := range got.Diagnosis.Causes {
		t.Logf("  %5.2f %s for %s against %s", c.Probability, c.ID, mustJSON(t, c.For), mustJSON(t, c.Against))
	}
	for _, e := range got.Diagnosis.Evidence {
		t.Logf("  %-18s %-14s %-11s %s", e.Check, e.Subject, e.Status, mustJSON(t, e.Facts))
	}
	t.Errorf("ends in %s, want %s", got.first(), f.cause)
}

// tryFault makes a fault in a process with namespaces of its own.
func tryFault(t *testing.T, f fault) (got result) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"=shop", nameVar+"="+f.name, dirVar+"="+dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		// A daemon that another test ran in this process forbade cores, and with them the files of /proc that are needed
		// here.
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Start(); err != nil {
		t.Skip("needs root, or user namespaces: ", err)
	}
	err = cmd.Wait()
	if e := json.Unmarshal(out.Bytes(), &got); e != nil {
		t.Fatalf("%v: %v\n%s%s", err, e, strings.TrimSpace(out.String()), talk.String())
	}
	return got
}

// The table of the faults in a README, between two marks. Its times are those of the last run with POSDX_FAULTS=1.
const (
	faultReadme = "../firmware-build/README.md"
	faultsBegin = "| fault | cause at rank 1 | kind | made by | first ms | final ms |\n|---|---|---|---|---:|---:|\n"
	faultsEnd   = "\nNot observable from inside a terminal"
)

func faultRow(f fault, first, final string) string {
	return fmt.Sprintf("| %s | `%s` | %s | %s | %s | %s |\n", f.name, f.cause, f.kind, f.how, first, final)
}

func TestReadmeHasTheFaults(t *testing.T) {
	b, err := os.ReadFile(faultReadme)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), faultsBegin)
	table, _, ok2 := strings.Cut(rest, faultsEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of faults", faultReadme)
	}
	rows := strings.SplitAfter(table, "\n")
	list := faults()
	if len(rows)-1 != len(list) {
		t.Errorf("%d rows, want %d: make faults writes them", len(rows)-1, len(list))
	}
	for i, f := range list {
		want := strings.TrimSuffix(faultRow(f, "", ""), " |  |\n")
		if i >= len(rows) || !strings.HasPrefix(rows[i], want) {
			t.Fatalf("the row of %s is another: make faults writes them", f.name)
		}
	}
}

func writeFaultTable(results []result) error {
	b, err := os.ReadFile(faultReadme)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(b), faultsBegin)
	_, tail, ok2 := strings.Cut(rest, faultsEnd)
	if !ok || !ok2 {
		return errors.New("no table of faults")
	}
	var rows strings.Builder
	for i, f := range faults() {
		first, final := "-", "-"
		if r := results[i]; r.Skip == "" {
			first, final = fmt.Sprintf("%.0f", r.FirstMS), fmt.Sprintf("%.0f", r.FinalMS)
		}
		rows.WriteString(faultRow(f, first, final))
	}
	return os.WriteFile(faultReadme, []byte(head+faultsBegin+rows.String()+faultsEnd+tail), 0o644)
}
