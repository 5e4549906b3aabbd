package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestLocalise(t *testing.T) {
	const file = "localise/testdata/010.csv"
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{file + " --at 1568877900", exitOK, "bitrate=2000"},
		{file + " --at 1568877720", exitOK, "nothing stands out"},
		{file + " --at 2019-09-19T07:25:00Z", exitOK, "bitrate=2000"},
		{"--help", exitOK, "example:"},
		{file, exitUsage, `"" is not a time`},
		{file + " --at 1", exitFailed, "no row at 1 "},
		{file + " --at 1568877900 --fail errors", exitFailed, `no column "errors"`},
		{"nowhere.csv --at 1", exitFailed, "nowhere.csv"},
		{"--at 1", exitUsage, "0 arguments, want 1"},
	} {
		var out, errs strings.Builder
		code := runLocalise(t.Context(), stdio{out: &out, err: &errs}, strings.Fields(c.args))
		if code != c.code || !strings.Contains(out.String()+errs.String(), c.says) || (code == exitOK) != (errs.Len() == 0) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", c.args, code, c.code, c.says, out.String(), errs.String())
		}
	}

	var out strings.Builder
	runLocalise(t.Context(), stdio{out: &out, err: &out}, strings.Fields(file+" --at 1568877900 --fail value --total cnt --json"))
	var r struct {
		Elements []struct {
			Dims map[string]string
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil || len(r.Elements) != 1 || r.Elements[0].Dims["bitrate"] != "2000" {
		t.Errorf("%v %s", err, out.String())
	}
}
