package housetest

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
)

// postgres is the PostgreSQL server of this test run, started by the first test that wants one.
type postgres struct {
	once      sync.Once
	settings  []string
	dir       string
	cmd       *exec.Cmd
	why       string // there is none
	databases atomic.Int32
}

var pg postgres

// SetPostgres gives the server settings, such as "max_wal_size=8GB", before the first test wants it.
func SetPostgres(settings ...string) {
	for _, s := range settings {
		pg.settings = append(pg.settings, "-c", s)
	}
}

// StopPostgres ends the server, for TestMain.
func StopPostgres() {
	if pg.cmd != nil {
		pg.cmd.Process.Signal(syscall.SIGINT)
		pg.cmd.Wait()
	}
	if pg.dir != "" {
		os.RemoveAll(pg.dir)
	}
}

// Postgres returns the address of an empty database on a server of this test run; it skips if PostgreSQL is not
// installed. TestMain calls StopPostgres.
func Postgres(t testing.TB) string {
	t.Helper()
	pg.once.Do(pg.start)
	if pg.why != "" {
		t.Skip(pg.why)
	}
	db, err := sql.Open("pgx", pg.address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("fleet%d", pg.databases.Add(1))
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return pg.address(name)
}

// PostgresPIDs are the processes of the server of this test run.
func PostgresPIDs() []int {
	if pg.cmd == nil {
		return nil
	}
	list := []int{pg.cmd.Process.Pid}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", list[0]))
	if err != nil {
		return list
	}
	for _, s := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(s); err == nil {
			list = append(list, pid)
		}
	}
	return list
}

func (p *postgres) address(database string) string {
	return "postgres://posdx@/" + database + "?host=" + p.dir
}

func (p *postgres) start() {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		p.why = "no PostgreSQL here (Debian: postgresql)"
		return
	}
	bin := filepath.Dir(slices.Max(found))
	var err error
	if p.dir, err = os.MkdirTemp("/tmp", "posdx-pg"); err != nil {
		p.why = err.Error()
		return
	}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 { // the server refuses to run as root
		const nobody = 65534
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(p.dir, nobody, nobody); err != nil {
			p.why = err.Error()
			return
		}
	}
	data := filepath.Join(p.dir, "data")
	init := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "posdx", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	init.SysProcAttr = attr
	if out, err := init.CombinedOutput(); err != nil {
		p.why = fmt.Sprintf("initdb: %v\n%s", err, out)
		return
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), append([]string{"-D", data, "-k", p.dir, "-c", "listen_addresses="},
		p.settings...)...)
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		p.why = err.Error()
		return
	}
	p.cmd = cmd
	if !Within(Patience, func() bool {
		db, err := sql.Open("pgx", p.address("postgres"))
		if err == nil {
			err = db.Ping()
			db.Close()
		}
		return err == nil
	}) {
		p.why = "postgres does not come up"
	}
}
