package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/fleet/access"
	"posdx/fleet/store"
	"posdx/fleet/web"
)

// The commands that say who may, keep copies and look at the log, one after the other on one data directory.
func TestCommandsOfAccess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	os.Mkdir(dir, 0o700)
	db, err := store.Open(t.Context(), "sqlite:"+storeFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	backup := filepath.Join(t.TempDir(), "b.tar.gz")
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for _, c := range []struct {
		args, in string
		code     int
		says     string
	}{
		{"account list", "", 0, "^$"},
		{"account", "", 2, "1 to 2"},
		{"account dance", "", 2, "want list, add"},
		{"account add ann", "correct horse battery", 2, "--role: viewer technician"},
		{"account add ann --role god", "correct horse battery", 1, "viewer, technician"},
		{"account add ann --role admin", "short", 1, "12 to 256"},
		{"account add ann --role admin", "correct horse battery\n", 0, "^$"},
		{"account add ann --role admin", "correct horse battery\n", 1, "there already"},
		{"account add bob --role viewer --estates shop,mall", "correct horse battery\n", 0, "^$"},
		{"account add eve --role viewer --estates a/b", "correct horse battery\n", 1, `"a/b"`},
		{"account change ann --disable", "", 1, "last admin"},
		{"account change bob --disable", "", 0, "^$"},
		{"account change nobody --disable", "", 1, "not found"},
		{"account change bob --password", "", 1, "no password"},
		{"account list", "", 0, `(?s)ann +admin +\* +enabled.*bob +viewer +shop,mall +disabled`},
		{"account list --json", "", 0, `"name": "ann"`},
		{"token add grafana --scope metrics", "", 0, `^posdx_[\w-]{43}\n$`},
		{"token add x --days 1000", "", 1, "366 days"},
		{"token list", "", 0, "1 +grafana +viewer +metrics +\\* +until"},
		{"token revoke 1", "", 0, "^$"},
		{"token revoke 1", "", 1, "not found"},
		{"token revoke x", "", 2, "number"},
		{"inventory check -", "estate,terminal\nshop,t1\n", 0, "1 terminals"},
		{"inventory import -", "estate,terminal,site\nshop,t1,a\nshop,t2,b\n", 0, "2 new, 0 changed, 2 in all"},
		{"inventory import -", "estate,terminal,site\nshop,t1,a\nshop,t2,c\nshop,t3,c\n", 0, "1 new, 1 changed, 3 in all"},
		{"inventory import -", "estate,terminal\nshop,a/b\n", 1, "line 2"},
		{"inventory import -", "estate,terminal,carrier\nshop,t2,x\n", 0, "0 new, 1 changed, 3 in all"},
		{"inventory export", "", 0, "shop,t2,,x,,c"},
		{"inventory import -", "estate,terminal,sitee\nshop,t2,x\n", 1, `"sitee" is not known: want estate terminal`},
		{"inventory import - --replace", "estate,terminal,site\n", 1, "--yes-empty"},
		{"inventory import -", "estate,terminal,site\n", 0, "0 new, 0 changed, 3 in all"},
		{"inventory import - --replace --yes-empty", "estate,terminal,site\n", 0, "0 new, 0 changed, 0 in all"},
		{"inventory dance", "", 2, "want import"},
		{"audit --what account.add", "", 0, "cli"},
		{"audit verify", "", 0, `^\d+ [0-9a-f]{64}\n$`},
		{"audit dance", "", 2, "verify"},
		{"store check", "", 0, "whole, version"},
		{"backup " + backup, "", 0, "store version"},
		{"backup " + backup, "", 1, "exist"},
		{"restore " + backup, "", 1, "something in it"},
		{"restore " + backup + " --data " + nowhere, "", 0, "store version"},
		{"account list --data " + nowhere, "", 0, "bob"},
		{"store down", "", 2, "--to VERSION"},
		{"store down --to 1", "", 1, "backup"},
		{"store down --to 2", "", 0, "version 2"},
		{"store check", "", 0, "version 2"},
		{"account list --data " + nowhere + "/x", "", 1, "no such file"},
	} {
		stdin = strings.NewReader(c.in)
		args := strings.Fields(c.args)
		if !strings.Contains(c.args, "--data") {
			args = append(args, "--data", dir)
		}
		var out, talk strings.Builder
		code := run(t.Context(), stdio{out: &out, err: &talk}, args)
		if code != c.code || !regexp.MustCompile(c.says).MatchString(out.String()+talk.String()) ||
			(code == 0) != (talk.Len() == 0) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", c.args, code, c.code, c.says, out.String(), talk.String())
		}
	}
}

// Beside a running fleet no second one starts on its data or its store, and the store is not taken back; accounts are
// added all the same.
func TestOneFleetHasTheData(t *testing.T) {
	dir := t.TempDir()
	start(t, dir, "--mqtt-listen", "127.0.0.1:0")
	address := " --store sqlite:" + storeFile(dir)
	for _, args := range []string{
		"serve --listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0 --data " + dir,
		"serve --listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0 --data " + t.TempDir() + address,
		"store down --to 2 --data " + dir,
		"store down --to 2" + address,
	} {
		var out, talk strings.Builder
		ctx, stop := context.WithTimeout(t.Context(), soon/4) // one that is let in would serve on
		code := run(ctx, stdio{out: &out, err: &talk}, strings.Fields(args))
		stop()
		if code != 1 || !strings.Contains(talk.String(), "stop that one first") || !strings.Contains(talk.String(), dir) {
			t.Errorf("%s: %d %s", args, code, talk.String())
		}
	}
	stdin = strings.NewReader("correct horse battery")
	var out, talk strings.Builder
	add := "account add ann --role admin --data " + dir
	if code := run(t.Context(), stdio{out: &out, err: &talk}, strings.Fields(add)); code != 0 {
		t.Errorf("%s: %d %s", add, code, talk.String())
	}
}

// The log says why something was refused.
func TestAuditSaysWhyItRefused(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+storeFile(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	site := new(web.Site)
	if err := letIn(t.Context(), serveConfig{}, db, site); err != nil {
		t.Fatal(err)
	}
	d := web.Deed{Name: "incident.acknowledge", At: report.Address{Estate: "mall"}, Subject: "7", Detail: "mine"}
	for _, refused := range []error{nil, errors.New("this needs another role")} {
		if err := site.Audit(t.Context(), web.Viewer{Name: "ann"}, d, refused); err != nil {
			t.Fatal(err)
		}
	}
	list, err := db.Audits(t.Context(), store.AuditFilter{})
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for i, want := range []string{
		"incident.acknowledge.refused mall 7 this needs another role; mine", "incident.acknowledge mall 7 mine",
	} {
		e := list[i]
		if got := strings.Join([]string{e.What, e.Estate, e.Object, e.Detail}, " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Who works at the command line has a name that no account can have, so no account narrows what it made.
func TestNoAccountIsNamedAsTheMachine(t *testing.T) {
	if name := here().Name; access.CheckName(name) == nil {
		t.Errorf("an account could be named %q", name)
	}
}

// Help says what is taken where nothing is given.
func TestHelpStatesDefaults(t *testing.T) {
	var out, talk strings.Builder
	if code := run(t.Context(), stdio{out: &out, err: &talk}, []string{"serve", "--help"}); code != 0 {
		t.Fatal(talk.String())
	}
	for _, want := range []string{"(default 127.0.0.1:8080)", "(default fleet-data)", "(default 1000000)", "(default 180)", "(default embedded)", "(default 2000)"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("no %q", want)
		}
	}
}
