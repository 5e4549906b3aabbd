package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/internal/atomicfile"
	"posdx/agent/internal/keeper"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/say"
	"posdx/agent/internal/stamp"
	"posdx/agent/report"
)

// A bundle is what a terminal can tell of itself to somebody who is not there: a zip file, for every desk can open one
// and its code is in the program anyway, while a tar would cost a quarter of a megabyte. It is read and written in
// memory, so no name in it ever becomes a path.
const (
	bundleFormat = "posdx-bundle/1"
	manifestName = "manifest.json"

	maxBundle  = 4 << 20 // bytes of the file
	maxMember  = 4 << 20 // bytes of one member, unpacked
	maxMembers = 16
	maxContent = 8 << 20 // bytes of all members, unpacked

	// bundleRecords is the room for kept diagnoses, the newest first to be taken: some hundred of them.
	bundleRecords = 3 << 20
	// bundleOthers is the room for each other kind of record.
	bundleOthers = 256 << 10
)

// A manifest tells what a bundle holds and what it does not.
type manifest struct {
	Format       string       `json:"format"`
	Made         time.Time    `json:"made"`
	ClockTrusted bool         `json:"clock_trusted"`
	Terminal     string       `json:"terminal"` // estate/terminal; empty without a configuration
	Agent        report.Agent `json:"agent"`
	System       string       `json:"system"` // kernel and machine
	Members      []member     `json:"members"`
	Missing      []absence    `json:"missing"`
	// Scrubbed counts places that could have been a card number and were overwritten: 0 in correct operation.
	Scrubbed int `json:"scrubbed"`
}

type member struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
	Holds  string `json:"holds"`
}

type absence struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// holds says what a member is, in Chinese and English.
func holds(name, lang string) string {
	for _, t := range [...]struct{ name, zh, en string }{
		{"state.json", "终端现状：各设备最近一次检查、上行状态、最近一次诊断", "the state: every device's latest check, the way to the fleet, the last diagnosis"},
		{"diagnoses.jsonl", "尚保存在终端上的诊断，每行一条", "the diagnoses still kept on the terminal, one a line"},
		{"tally.jsonl", "每小时应答码计数", "how often each code was seen, by the hour"},
		{"dropped.jsonl", "因空间或时限而丢弃的记录报告", "reports of records that a bound removed"},
		{"config.json", "配置（不含密钥、口令、证书路径和无线网络名）", "the configuration without keys, passwords, their paths and the name of the wireless network"},
		{"logs.json", "各交易日志读到的位置", "how far each payment log was read"},
		{"commands.jsonl", "管理平台下发命令的记录", "the commands of the fleet, and what became of them"},
		{"lives.json", "最近的启动和异常退出", "the last starts and crashes"},
	} {
		if t.name == name {
			if lang == "en" {
				return t.en
			}
			return t.zh
		}
	}
	return ""
}

// A witness is where a bundle's content comes from: the daemon itself, or the socket and the files of one.
type witness struct {
	lang    string
	conf    *config // nil: confWhy tells
	confWhy error
	state   func() (report.State, error)
	scan    func(func(outbox.Record) bool) error
	past    func(func(outbox.PastDoc)) error // the diagnoses of the history; nil for none
	records int                              // bytes of diagnoses
}

// A part is one member before it is packed.
type part struct {
	name string
	body []byte
}

// bundle makes a bundle of what a witness knows. It always succeeds; what could not be had is named in the manifest.
func (w witness) bundle(now time.Time, agent report.Agent) ([]byte, manifest, error) {
	m := manifest{Format: bundleFormat, Made: now.UTC().Truncate(time.Second), ClockTrusted: stamp.ClockTrusted(now), Agent: agent, System: system(), Missing: []absence{}}
	var parts []part
	add := func(name string, body []byte, err error) {
		if err == nil && len(body) == 0 {
			err = errors.New("there is none")
		}
		if err == nil && len(body) > maxMember {
			err = fmt.Errorf("%d bytes, more than a bundle takes", len(body))
		}
		if err != nil {
			m.Missing = append(m.Missing, absence{name, err.Error()})
			return
		}
		parts = append(parts, part{name, body})
	}
	state, err := w.state()
	var body []byte
	if err == nil {
		m.Terminal, m.Agent = state.Terminal, state.Agent
		body, err = json.Marshal(state)
	}
	add("state.json", body, err)
	kinds, err := w.kept()
	for _, k := range [...]struct{ name, kind string }{{"diagnoses.jsonl", report.KindDiagnosis}, {"tally.jsonl", report.KindTally}, {"dropped.jsonl", report.KindDropped}} {
		add(k.name, kinds[k.kind], err)
	}
	if w.conf == nil {
		for _, name := range [...]string{"config.json", "logs.json", "commands.jsonl", "lives.json"} {
			add(name, nil, w.confWhy)
		}
		return m.pack(parts, w.lang)
	}
	c := *w.conf
	if m.Terminal == "" {
		m.Terminal = c.Estate + "/" + c.Terminal
	}
	body, err = json.Marshal(c.Public())
	add("config.json", body, err)
	body, err = logPlaces(filepath.Join(c.StateDir, "logs.state"))
	add("logs.json", body, err)
	body, err = atomicfile.Read(filepath.Join(c.StateDir, "commands.audit"), bundleOthers)
	add("commands.jsonl", body, plain(err))
	body, err = atomicfile.Read(filepath.Join(filepath.Dir(c.Hook.Socket), "lives.json"), keeper.MaxLives)
	add("lives.json", body, plain(err))
	return m.pack(parts, w.lang)
}

// plain names the usual reason for a missing file in words, without the path.
func plain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is none")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("permission denied: run it as root or as the daemon's user")
	}
	return err
}

// kept returns the records that the outbox holds, by kind, one a line, the oldest left out where a bound is reached. The
// diagnoses are those of the history too, which the fleet may have had long ago: each revision once, in their order.
func (w witness) kept() (map[string][]byte, error) {
	lines := map[string][][]byte{}
	size := map[string]int{}
	history, err := w.diagnoses()
	for _, doc := range history {
		lines[report.KindDiagnosis] = append(lines[report.KindDiagnosis], doc)
		size[report.KindDiagnosis] += len(doc) + 1
	}
	for size[report.KindDiagnosis] > w.records {
		size[report.KindDiagnosis] -= len(lines[report.KindDiagnosis][0]) + 1
		lines[report.KindDiagnosis] = lines[report.KindDiagnosis][1:]
	}
	err = errors.Join(err, w.scan(func(r outbox.Record) bool {
		if r.Kind == report.KindDiagnosis {
			return true
		}
		if !json.Valid(r.Doc) {
			return true
		}
		lines[r.Kind] = append(lines[r.Kind], bytes.Clone(r.Doc))
		size[r.Kind] += len(r.Doc) + 1
		for size[r.Kind] > bundleOthers {
			size[r.Kind] -= len(lines[r.Kind][0]) + 1
			lines[r.Kind] = lines[r.Kind][1:]
		}
		return true
	}))
	all := map[string][]byte{}
	for kind, l := range lines {
		if len(l) > 0 {
			all[kind] = append(bytes.Join(l, []byte("\n")), '\n')
		}
	}
	return all, err
}

// diagnoses are all that history and outbox hold, each revision once, oldest first: ids ascend for ever.
func (w witness) diagnoses() ([][]byte, error) {
	type brief struct {
		ID       string `json:"id"`
		Revision int    `json:"revision"`
	}
	all := map[brief][]byte{}
	var keys []brief
	add := func(doc []byte) {
		var b brief
		if json.Unmarshal(doc, &b) != nil {
			return
		}
		if _, known := all[b]; !known {
			all[b] = bytes.Clone(doc)
			keys = append(keys, b)
		}
	}
	var err error
	if w.past != nil {
		err = w.past(func(d outbox.PastDoc) { add(d.Doc) })
	}
	err = errors.Join(err, w.scan(func(r outbox.Record) bool {
		if r.Kind == report.KindDiagnosis {
			add(r.Doc)
		}
		return true
	}))
	sort.SliceStable(keys, func(i, j int) bool {
		return cmp.Or(strings.Compare(keys[i].ID, keys[j].ID), cmp.Compare(keys[i].Revision, keys[j].Revision)) < 0
	})
	list := make([][]byte, len(keys))
	for i, k := range keys {
		list[i] = all[k]
	}
	return list, err
}

// pack writes the file: the manifest first, so that who only wants to know need not read on.
func (m manifest) pack(parts []part, lang string) ([]byte, manifest, error) {
	for i, p := range parts {
		body, stopped := report.Scrub(p.body)
		m.Scrubbed += stopped
		parts[i].body = body
		sum := sha256.Sum256(body)
		m.Members = append(m.Members, member{p.name, len(body), "sha256:" + hex.EncodeToString(sum[:]), holds(p.name, lang)})
	}
	head, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, m, err
	}
	if clean, n := report.Scrub(head); n > 0 {
		m.Scrubbed += n // the file's own count stays short of this; the caller's does not
		head = clean
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, p := range slices.Insert(parts, 0, part{manifestName, head}) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Deflate, Modified: m.Made})
		if err != nil {
			return nil, m, err
		}
		if _, err := f.Write(p.body); err != nil {
			return nil, m, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, m, err
	}
	if out.Len() > maxBundle {
		return nil, m, fmt.Errorf("pack bundle: %d bytes, more than %d", out.Len(), maxBundle)
	}
	return out.Bytes(), m, nil
}

// logPlaces tells how far the payment logs were read. What identifies their content stays behind.
func logPlaces(state string) ([]byte, error) {
	b, err := atomicfile.Read(state, 64<<10)
	if err != nil {
		return nil, plain(err)
	}
	var marks map[string]struct {
		Offset int64 `json:"offset"`
	}
	if err := json.Unmarshal(b, &marks); err != nil {
		return nil, err
	}
	type place struct {
		Path   string `json:"path"`
		Offset int64  `json:"offset"`
		Size   int64  `json:"size"` // of the file that has the name now; -1 if there is none
	}
	list := []place{}
	for path, m := range marks {
		p := place{path, m.Offset, -1}
		if fi, err := os.Stat(path); err == nil {
			p.Size = fi.Size()
		}
		list = append(list, p)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	return json.Marshal(list)
}

// system names the kernel and the machine, not the host.
func system() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

// memberName is what a member may be called: nothing that a careless unpacker could take for a path.
var memberName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,40}\.[a-z0-9]{1,8}$`)

// readBundle takes a bundle apart and holds every member against the manifest.
func readBundle(b []byte) (manifest, map[string][]byte, error) {
	var m manifest
	if len(b) > maxBundle {
		return m, nil, say.New("bundle-large", len(b), maxBundle)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return m, nil, say.New("bundle-none", err)
	}
	if n := len(z.File); n == 0 || n > maxMembers+1 {
		return m, nil, say.New("bundle-members", n, maxMembers+1)
	}
	content := map[string][]byte{}
	left := maxContent
	for _, f := range z.File {
		if !memberName.MatchString(f.Name) || !f.Mode().IsRegular() {
			return m, nil, say.New("bundle-name", f.Name)
		}
		if _, twice := content[f.Name]; twice {
			return m, nil, say.New("bundle-twice", f.Name)
		}
		body, err := unpack(f, min(left, maxMember))
		if err != nil {
			return m, nil, say.New("bundle-member", f.Name, err)
		}
		left -= len(body)
		content[f.Name] = body
	}
	head, ok := content[manifestName]
	if !ok {
		return m, nil, say.New("bundle-manifest-missing", manifestName)
	}
	delete(content, manifestName)
	if err := json.Unmarshal(head, &m); err != nil {
		return m, nil, say.New("bundle-manifest", manifestName, err)
	}
	if m.Format != bundleFormat {
		return m, nil, say.New("bundle-format", manifestName, m.Format, bundleFormat)
	}
	return m, content, m.hold(content)
}

// unpack reads a member of at most limit bytes, whatever size it claims.
func unpack(f *zip.File, limit int) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if len(body) > limit {
		return nil, say.New("bundle-more", limit)
	}
	return body, err
}

// hold compares what is there with what the manifest names.
func (m *manifest) hold(content map[string][]byte) error {
	if len(m.Members) != len(content) {
		return say.New("bundle-count", manifestName, len(m.Members), len(content))
	}
	for _, e := range m.Members {
		body, ok := content[e.Name]
		if !ok {
			return say.New("bundle-not-there", e.Name, manifestName)
		}
		sum := sha256.Sum256(body)
		if e.Size != len(body) || e.SHA256 != "sha256:"+hex.EncodeToString(sum[:]) {
			return say.New("bundle-changed", e.Name, manifestName)
		}
	}
	return nil
}

// scanFiles reads the outbox of a directory without a lock and without changing it, beside a daemon that uses it.
func scanFiles(dir string) func(func(outbox.Record) bool) error {
	return func(next func(outbox.Record) bool) error {
		if _, err := os.ReadDir(dir); err != nil {
			return plain(err)
		}
		box, err := outbox.Open(dir, outbox.Options{FS: readOnly(dir)})
		if err != nil {
			return err
		}
		box.Scan(next)
		return nil
	}
}

// readOnly is an outbox's directory that refuses every change; the box then carries on in memory, which ends with it.
type readOnly string

func (d readOnly) List() ([]outbox.Entry, error) {
	des, err := os.ReadDir(string(d))
	var list []outbox.Entry
	for _, de := range des {
		if fi, err := de.Info(); err == nil && fi.Mode().IsRegular() {
			list = append(list, outbox.Entry{Name: de.Name(), Size: fi.Size()})
		}
	}
	return list, err
}

func (d readOnly) ReadAt(name string, p []byte, off int64) (int, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := f.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (readOnly) Create(string, int64) (outbox.File, error) { return nil, unix.EROFS }
func (readOnly) Rename(string, string) error               { return unix.EROFS }
func (readOnly) Remove(string) error                       { return unix.EROFS }
func (readOnly) SyncDir() error                            { return nil }
func (readOnly) Close() error                              { return nil }
