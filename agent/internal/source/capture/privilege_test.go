package capture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/internal/source"
)

// childEnv makes of the test binary a capture that prints the codes it sees, for as long as its standard input is open.
const childEnv = "POSDX_CAPTURE_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

func child() {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(line, ":"); name == "CapEff" || name == "CapPrm" || name == "Uid" {
			fmt.Println(name, strings.Join(strings.Fields(value), " "))
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { io.Copy(io.Discard, os.Stdin); stop() }()
	c := New()
	c.Targets = []Target{{"host-primary", "127.0.0.1", 8583}}
	c.Log = slog.New(slog.NewTextHandler(os.Stdout, nil))
	fmt.Println("ended", c.Run(ctx, printer{}))
}

// printer is a sink that prints codes.
type printer struct{ nothing }

func (printer) Seen(c source.Seen) bool {
	fmt.Println("code", c.Txn.MTI, c.Txn.STAN, c.Code, c.Origin)
	return true
}

// start runs the child as nobody, inside a namespace, with these capabilities and no others.
func start(t *testing.T, n interface{ Do(func() error) error }, caps ...uintptr) (lines chan string, pid int,
	stop func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: caps}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Do(cmd.Start); err != nil {
		t.Skipf("no process without privileges here: %v", err)
	}
	lines = make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		for range lines { // Wait would close what is still read
		}
		cmd.Wait()
	})
	return lines, cmd.Process.Pid, func() { in.Close() }
}

// says waits for a line that holds a text.
func says(t *testing.T, lines chan string, want string) {
	t.Helper()
	var heard []string
	for end := time.After(soon); ; {
		select {
		case l, ok := <-lines:
			if heard = append(heard, l); strings.Contains(l, want) {
				return
			}
			if !ok {
				t.Fatalf("ended without %q: %q", want, heard)
			}
		case <-end:
			t.Fatalf("never %q: %q", want, heard)
		}
	}
}

func TestCaptureNeedsOneCapabilityAlone(t *testing.T) {
	root(t)
	n := namespace(t)
	w := sides{n, n}
	w.serve(t, n, "127.0.0.1:8583", nil)
	lines, pid, stop := start(t, n, unix.CAP_NET_RAW)
	says(t, lines, "Uid 65534 65534 65534 65534")
	says(t, lines, fmt.Sprintf("CapPrm %016x", 1<<unix.CAP_NET_RAW))
	says(t, lines, fmt.Sprintf("CapEff %016x", 1<<unix.CAP_NET_RAW))
	says(t, lines, "are watched")
	if err := sell(t, n, "127.0.0.1:8583", nil, 96, 97); err != nil {
		t.Fatal(err)
	}
	says(t, lines, "code 0210 000096 96 host")
	// With no packet it does not wake up once: a second passes in which no thread of the process ran.
	for end := time.Now().Add(soon); ; {
		before := switches(t, pid)
		time.Sleep(time.Second) // that nothing happens is what is measured
		if after := switches(t, pid); after == before {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d wake-ups in the last second", after-before)
		}
	}
	stop()
	says(t, lines, "ended <nil>")
}

func TestWithoutTheCapabilityItSaysSoAndStays(t *testing.T) {
	root(t)
	lines, _, stop := start(t, namespace(t))
	says(t, lines, "CapEff 0000000000000000")
	says(t, lines, "needs CAP_NET_RAW")
	stop()
	says(t, lines, "ended <nil>")
}

// switches counts how often the threads of a process were scheduled.
func switches(t *testing.T, pid int) (n int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it ended between the two
		}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			if strings.HasSuffix(name, "ctxt_switches") {
				v, err := strconv.Atoi(strings.TrimSpace(value))
				if err != nil {
					t.Fatal(err)
				}
				n += v
			}
		}
	}
	return n
}

// TestMemoryHoldsNoCard looks for the card through everything that the process may write to, after it has read sales
// that carried one in every field.
func TestMemoryHoldsNoCard(t *testing.T) {
	root(t)
	n := namespace(t)
	w := sides{n, n}
	w.serve(t, n, "127.0.0.1:8583", nil)
	lines, pid, _ := start(t, n, unix.CAP_NET_RAW)
	says(t, lines, "are watched")
	if err := sell(t, n, "127.0.0.1:8583", nil, 10, 40); err != nil {
		t.Fatal(err)
	}
	says(t, lines, "code 0210 000039 39 host")
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("memory of another process cannot be read here: %v", err)
	}
	defer mem.Close()
	// As the messages carry them: packed, and as characters. The program's own constants are in pages it may not write.
	card, err := hex.DecodeString(plantedPAN)
	if err != nil {
		t.Fatal(err)
	}
	track, err := hex.DecodeString(plantedTrack)
	if err != nil {
		t.Fatal(err)
	}
	stan := false
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		b := make([]byte, to-from)
		k, err := mem.ReadAt(b, from)
		if k == 0 && err != nil {
			continue
		}
		b = b[:k]
		for name, secret := range map[string][]byte{"card number": card, "track": track[8:], "PIN block": []byte(plantedPIN), "card number in characters": []byte(plantedPAN)} {
			if at := bytes.Index(b, secret); at >= 0 {
				t.Errorf("%s at %x of %s", name, at, line)
			}
		}
		stan = stan || bytes.Contains(b, []byte("000039"))
	}
	if !stan {
		t.Error("what was kept is not found either: the search looked nowhere")
	}
}
