package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/internal/atomicfile"
	"posdx/agent/internal/bundle"
	conf "posdx/agent/internal/config"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/say"
	"posdx/agent/report"
	"posdx/codes"
)

func runBundle(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "bundle", "FILE | --list [--require-mount DIR] [--json]",
		"把本机情况打成一个 zip 支持包：状态、保存的诊断、统计、去掉机密的配置、管理平台问过什么。其中没有敏感内容，每个字节还会再查一遍有没有卡号。FILE 写 - 表示标准输出。--list 只列出内容，不写文件。没有守护进程也能打包，并说明缺了什么。\n"+
			"退出码：0 完成；1 文件写不了；2 用法不对。",
		"Packs what the terminal knows of itself into one zip file for support: the state, the kept diagnoses, the counts, the configuration without secrets, what the fleet asked. Nothing sensitive is in it, and every byte is searched for card numbers once more. FILE - is the standard output. With --list it prints what would be in it and writes nothing. It works without a daemon, and says what is missing then.\n"+
			"Exit codes: 0 done, 1 the file could not be written, 2 usage.",
		"posdx bundle --list\nposdx bundle /media/usb/t1.zip")
	list := f.Bool("list", false, "只列出内容\nprint what would be in it")
	asJSON := f.Bool("json", false, "以 JSON 输出清单\nprint the manifest as JSON")
	mount := f.String("require-mount", "", "只在 `DIR` 已挂载、文件就在其上时才写：U 盘没插好就不写\nwrite only if `DIR` is mounted and the file lies on it: a USB stick that is not in is no place")
	client := addClientFlags(f)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	lang := s.lang()
	if !client.valid(s) || len(words) > 1 || (len(words) == 0) != *list {
		misuse(s, f, words, 1)
		return exitUsage
	}
	if len(words) == 1 && words[0] != "-" {
		if err := placeFor(words[0], *mount); err != nil {
			s.fail("bundle", err)
			return exitFailed
		}
	}
	w := filesOf(*client.config, lang)
	w.State = func() (report.State, error) {
		d, err := client.daemon()
		if err != nil {
			return report.State{}, err
		}
		return d.State(ctx)
	}
	b, m, err := w.Make(time.Now(), report.Agent{Version: version, Knowledge: codes.Builtin().Hash})
	if err == nil && !*list {
		if words[0] == "-" {
			_, err = s.out.Write(b)
		} else {
			err = atomicfile.Replace(words[0], b)
		}
	}
	if err != nil {
		s.fail("bundle", err)
		return exitFailed
	}
	out := s.out
	if len(words) == 1 && words[0] == "-" {
		out = s.err
	}
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", " ")
		e.Encode(m)
	} else {
		fmt.Fprint(out, m.Text(lang, len(b)))
	}
	if m.Scrubbed > 0 {
		s.fail("bundle", say.New("scrubbed", m.Scrubbed))
	}
	return exitOK
}

// filesOf is what the files of a terminal with this configuration tell, without asking its daemon.
func filesOf(config, lang string) bundle.Source {
	w := bundle.Source{Lang: lang, Records: bundle.Records}
	c, _, err := readConfig(config)
	if err != nil {
		w.ConfigWhy = err
		w.Scan = func(func(outbox.Record) bool) error {
			return say.New("no-config-where")
		}
		return w
	}
	w.Config = &c.Config
	w.Scan = bundle.ScanFiles(filepath.Join(c.StateDir, "outbox"))
	w.Past = func(each func(outbox.PastDoc)) error { return outbox.ReadPast(pastDir(c), each) }
	return w
}

// placeFor tells whether a file may be made: in a folder that is there, and on the file system that is named, if one
// is.
func placeFor(file, mount string) error {
	if mount != "" {
		if err := onMount(file, mount); err != nil {
			return err
		}
	}
	if folder := filepath.Dir(file); !isFolder(folder) {
		return say.New("no-folder", folder)
	}
	return nil
}

func isFolder(path string) bool {
	fi, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist) && (err != nil || fi.IsDir())
}

// onMount tells whether a file would lie on the file system that is mounted at a folder.
func onMount(file, mount string) error {
	var top, above, here syscall.Stat_t
	mount = filepath.Clean(mount)
	if err := syscall.Stat(mount, &top); err != nil {
		return say.New("mount", mount, err)
	}
	if err := syscall.Stat(filepath.Join(mount, ".."), &above); err != nil {
		return say.New("mount", mount, err)
	}
	if top.Dev == above.Dev && top.Ino != above.Ino {
		return say.New("mount-nothing", mount)
	}
	if err := syscall.Stat(filepath.Dir(file), &here); err != nil {
		return say.New("mount-folder", filepath.Dir(file), err)
	}
	if here.Dev != top.Dev {
		return say.New("mount-elsewhere", file, mount)
	}
	return nil
}

// bundle answers the fleet: with the manifest, and with send also with the bundle, of as many of the newest diagnoses
// as fit.
func (d *daemon) bundle(send bool) (map[string]any, error) {
	b, m, err := d.witness().Fitting(time.Now(), d.agent())
	switch {
	case err != nil:
		return nil, err
	case !send:
		return map[string]any{"manifest": m, "bytes": len(b)}, nil
	}
	return map[string]any{"manifest": m, "bytes": len(b), "bundle": base64.StdEncoding.EncodeToString(b)}, nil
}

func (d *daemon) witness() bundle.Source {
	return bundle.Source{
		Lang: d.conf.Language, Config: &d.conf.Config,
		State: func() (report.State, error) { return d.State(), nil },
		Scan:  func(next func(outbox.Record) bool) error { d.box.Scan(next); return nil },
		Past:  func(each func(outbox.PastDoc)) error { return outbox.ReadPast(pastDir(d.conf), each) },
	}
}

// A replayed diagnosis says whether its verdict still stands.
type replayed struct {
	ID       string           `json:"id"`
	Time     time.Time        `json:"time"`
	Code     string           `json:"code"`
	Same     bool             `json:"same"`
	Say      string           `json:"say"`
	Then     string           `json:"then"` // the first cause as it was
	Now      string           `json:"now"`
	Retry    string           `json:"retry"`
	Explains report.Diagnosis `json:"diagnosis"` // made now
}

func runReplay(_ context.Context, s stdio, args []string) int {
	f := flags(s, "replay", "BUNDLE [--config FILE] [--json]",
		"读取支持包，按清单核对每一部分，重新解释其中的每条诊断，并说明结论是否仍然相同。不往磁盘解包，也不检查本机。BUNDLE 写 - 表示标准输入。\n"+
			"退出码：0 结论都相同；3 其中没有诊断；4 有结论变了；1 读不了或与清单不符；2 用法不对。",
		"Reads a support bundle, holds every part against its manifest, explains every diagnosis in it again and says whether the verdict is still the same. Nothing is unpacked to disk and nothing is asked of this machine. BUNDLE - is the standard input.\n"+
			"Exit codes: 0 every verdict is the same, 3 there is no diagnosis in it, 4 a verdict is another now, 1 unreadable or not what its manifest says, 2 usage.",
		"posdx replay t1.zip --lang en")
	lang := s.lang()
	config := f.String("config", defaultConfig, "配置 `FILE`，用其中的知识包\na configuration `FILE`, for its knowledge pack")
	asJSON := f.Bool("json", false, jsonUsage)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) != 1 {
		misuse(s, f, words, 1)
		return exitUsage
	}
	b, err := readInput(s, words[0], bundle.MaxSize)
	var m bundle.Manifest
	var content map[string][]byte
	if err == nil {
		m, content, err = bundle.Read(b)
	}
	var then []report.Diagnosis
	if err == nil {
		then, err = diagnosesIn(content)
	}
	if err != nil {
		s.fail("replay", err)
		return exitFailed
	}
	fmt.Fprintf(s.err, "%s, %s, posdx %s, %s\n", m.Terminal, m.Made.Local().Format(localTime), m.Agent.Version, m.System)
	for _, a := range m.Missing {
		fmt.Fprintln(s.err, say.New("not-in-it", a.Name, say.Heard(a.Why)).In(lang))
	}
	k := inForce(*config)
	list := replayAll(k, then, profileIn(k, content), lang)
	code = exitOK
	for _, r := range list {
		if !r.Same {
			code = exitBad
		}
		if !*asJSON {
			fmt.Fprintf(s.out, "%s  %s  %-8s %s\n", r.Time.Local().Format(localTime), r.ID, r.Code, r.Say)
			fmt.Fprint(s.out, diagnose.Render(r.Explains, lang, renderWidth), "\n")
		}
	}
	if *asJSON {
		json.NewEncoder(s.out).Encode(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(s.err, say.New("no-diagnosis-in-it").In(lang))
		return exitAbstain
	}
	return code
}

// readInput reads a file of at most limit bytes, or the standard input if its name is -.
func readInput(s stdio, name string, limit int64) ([]byte, error) {
	if name != "-" {
		return atomicfile.Read(name, limit)
	}
	b, err := io.ReadAll(io.LimitReader(s.in, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = say.New("read-large", name, limit)
	}
	return b, err
}

// diagnosesIn returns the newest revision of every diagnosis of a bundle, in the order they were made.
func diagnosesIn(content map[string][]byte) ([]report.Diagnosis, error) {
	var list []report.Diagnosis
	at := map[string]int{}
	take := func(d report.Diagnosis) {
		i, known := at[d.ID]
		switch {
		case d.Event.Code == "" || len(d.Causes) == 0:
		case !known:
			at[d.ID] = len(list)
			list = append(list, d)
		case d.Revision >= list[i].Revision:
			list[i] = d
		}
	}
	for i, line := range bytes.Split(content["diagnoses.jsonl"], []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var d report.Diagnosis
		if err := report.Decode(line, &d); err != nil {
			return nil, say.New("diagnoses-line", i+1, err)
		}
		take(d)
	}
	if body := content["state.json"]; len(body) > 0 {
		var state report.State
		if err := report.Decode(body, &state); err != nil {
			return nil, say.New("state-json", err)
		}
		if state.Last != nil {
			take(*state.Last)
		}
	}
	return list, nil
}

// profileIn is how the terminal's acquirer reads codes, as far as the configuration in a bundle tells.
func profileIn(k *codes.Knowledge, content map[string][]byte) codes.Profile {
	var c struct{ Profile conf.Profile }
	if json.Unmarshal(content["config.json"], &c) == nil {
		if p, err := chooseProfile(k, c.Profile); err == nil {
			return p
		}
	}
	p, _ := chooseProfile(k, conf.Defaults().Profile)
	return p
}

func replayAll(k *codes.Knowledge, then []report.Diagnosis, p codes.Profile, lang string) []replayed {
	list := []replayed{}
	for _, d := range then {
		now := diagnose.Explain(d.Event, d.Evidence, k, diagnose.Options{
			Lang: lang, Version: version, Profile: p, Revision: d.Revision, Final: d.Final, Repeats: d.Repeats, TookMS: d.TookMS,
		})
		list = append(list, replayed{
			ID: d.ID, Time: d.Event.Time, Code: d.Event.Code, Same: sameVerdict(&d, &now), Say: compareReplay(&d, &now).In(lang),
			Then: d.Causes[0].ID, Now: now.Causes[0].ID, Retry: now.Money.Retry, Explains: now,
		})
	}
	return list
}
