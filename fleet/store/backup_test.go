package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A copy is whole while documents come in, readable by its owner only, and never written over another file.
func TestBackupIsWholeWhileDocumentsComeIn(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(dir, "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { done <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Audit(t.Context(), AuditEntry{Who: "x", What: "test"}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for i := range 5 {
		file := filepath.Join(dir, "copy"+string(rune('0'+i)))
		if err := s.Backup(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		if v, err := Check(t.Context(), file); err != nil || v != schemaVersion {
			t.Error(v, err)
		}
		if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
			t.Error(info.Mode())
		}
		if err := s.Backup(t.Context(), file); err == nil {
			t.Error("a file that is there is written over")
		}
		c, err := Open(t.Context(), "sqlite:"+file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.VerifyAudit(t.Context()); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	close(stop)
	if n := <-done; n == 0 {
		t.Error("nothing came in meanwhile")
	}
	if _, err := s.write.Exec("INSERT INTO audit SELECT no + 100000, at, who, source, what, estate, object, detail, sum FROM audit WHERE no = 1"); err != nil {
		t.Error("the store does not take writes any more:", err)
	}
}

// Password hashes are in the store: only its owner reads it, also one that an earlier release left open.
func TestOthersCannotReadTheStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fleet.db")
	for range 2 {
		s, err := Open(t.Context(), "sqlite:"+file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{file, file + "-wal", file + "-shm"} {
			if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
				t.Error(f, info, err)
			}
		}
		s.Close()
		os.Chmod(file, 0o644)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	at := func(name, body string) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(dir, "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	whole, err := os.ReadFile(filepath.Join(dir, "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	for file, says := range map[string]string{
		filepath.Join(dir, "none"):                               "no such file",
		at("text", strings.Repeat("not a database at all ", 99)): "not a database",
		at("empty", ""):                         "not one of posdx-fleet",
		at("cut", string(whole[:len(whole)/2])): "",
	} {
		if _, err := Check(t.Context(), file); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", file, err, says)
		}
	}
}

// An entry of the audit log that was changed, taken out or put in shows.
func TestAuditLogShowsWhatWasDoneToIt(t *testing.T) {
	for name, stmt := range map[string]string{
		"":                "",
		"changed":         "UPDATE audit SET who = 'bob' WHERE no = 3",
		"moved in time":   "UPDATE audit SET at = at + 1 WHERE no = 3",
		"taken out":       "DELETE FROM audit WHERE no = 3",
		"first ones gone": "DELETE FROM audit WHERE no < 3", // as the sweep does
		"exchanged":       "UPDATE audit SET no = CASE no WHEN 2 THEN 1000 ELSE 2 END WHERE no IN (2, 3); UPDATE audit SET no = 3 WHERE no = 1000",
	} {
		s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := s.Audit(t.Context(), AuditEntry{Who: "ann", What: "test", Detail: strings.Repeat("诊", 400)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.write.Exec(stmt); err != nil {
			t.Fatal(err)
		}
		last, err := s.VerifyAudit(t.Context())
		if fine := name == "" || name == "first ones gone"; fine != (err == nil) || fine && (last.No != 5 || last.Sum == "") {
			t.Errorf("%s: %v %v", name, last, err)
		}
		s.Close()
	}
}
