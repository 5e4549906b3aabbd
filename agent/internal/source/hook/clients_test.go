package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"posdx/agent/internal/source/sourcetest"
	"testing"
)

// run starts an example client against a hook and returns its answers and exit code.
func run(t *testing.T, socket string, args ...string) (answers []Answer, code int) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Env = append(os.Environ(), "POSDX_SOCKET="+socket)
	var out, talk bytes.Buffer
	c.Stdout, c.Stderr = &out, &talk
	err := c.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(&out); d.More(); {
		var a Answer
		if err := d.Decode(&a); err != nil {
			t.Fatalf("%s printed %q: %v", args[0], out.String(), err)
		}
		answers = append(answers, a)
	}
	if talk.Len() > 0 {
		t.Logf("%s: %s", args[0], talk.String())
	}
	return answers, code
}

func TestExampleClients(t *testing.T) {
	for _, c := range []struct {
		name, needs, pkg string
		final            bool
		build            func(t *testing.T) string
	}{
		{"hook.c", "cc", "gcc", false, func(t *testing.T) string {
			bin := filepath.Join(t.TempDir(), "hook")
			if out, err := exec.Command("cc", "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-o", bin, "testdata/clients/hook.c").CombinedOutput(); err != nil {
				t.Fatalf("cc: %v\n%s", err, out)
			}
			return bin
		}},
		{"hook.py", "python3", "python3", true, func(*testing.T) string { return "testdata/clients/hook.py" }},
		{"hook.sh", "socat", "socat", false, func(*testing.T) string { return "testdata/clients/hook.sh" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(c.needs); err != nil {
				t.Skipf("needs %s (Debian package %s)", c.needs, c.pkg)
			}
			d := sourcetest.NewDaemon()
			socket := startHook(t, d, nil)
			bin := c.build(t)
			answers, code := run(t, socket, bin, "96", "host", "000123")
			want := First
			if c.final {
				want = Final
			}
			if len(answers) == 0 || code != 0 || answers[len(answers)-1].Result != want || answers[len(answers)-1].Verdict.Retry != "later" {
				t.Errorf("got %+v, exit %d, want %s", answers, code, want)
			}
			if s := d.All(); len(s) != 1 || s[0].Code != "96" || s[0].Txn == nil || s[0].Txn.STAN != "000123" {
				t.Errorf("the daemon saw %+v", s)
			}
			d.Mu.Lock()
			d.Room = 0
			d.Mu.Unlock()
			if answers, _ := run(t, socket, bin, "96", "host", "000123"); len(answers) != 1 || answers[0].Result != Busy {
				t.Errorf("full: got %+v, want busy", answers)
			}
			if _, code := run(t, socket+"x", bin, "96", "host", "000123"); code == 0 {
				t.Error("no daemon: exit 0")
			}
		})
	}
}
