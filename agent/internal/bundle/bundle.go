// Package bundle makes and reads support bundles: one file with everything that a terminal knows of its own state.
package bundle

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/internal/atomicfile"
	"posdx/agent/internal/config"
	"posdx/agent/internal/keeper"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/say"
	"posdx/agent/internal/stamp"
	"posdx/agent/report"
)

// A bundle carries what a terminal knows of its own state to a person who is elsewhere. It is a zip file, because every
// computer can open one and the code for it is in the program anyway, while tar would cost a quarter of a megabyte. It
// is read and written in memory, so no name in it ever becomes a path.
const (
	Format       = "posdx-bundle/1"
	ManifestName = "manifest.json"

	MaxSize    = 4 << 20 // bytes of the file
	maxMember  = 4 << 20 // bytes of one member, unpacked
	maxMembers = 16
	maxContent = 8 << 20 // bytes of all members, unpacked

	// Records is the room for kept diagnoses, the newest first to be taken: some hundred of them.
	Records = 3 << 20
	// maxOthers is the room for each other kind of record.
	maxOthers = 256 << 10
)

// A Manifest lists what a bundle holds and what it does not.
type Manifest struct {
	Format       string       `json:"format"`
	Made         time.Time    `json:"made"`
	ClockTrusted bool         `json:"clock_trusted"`
	Terminal     string       `json:"terminal"` // estate/terminal; empty without a configuration
	Agent        report.Agent `json:"agent"`
	System       string       `json:"system"` // kernel and machine
	Members      []Member     `json:"members"`
	Missing      []Absence    `json:"missing"`
	// Scrubbed counts places that could have been a card number and were overwritten: 0 in correct operation.
	Scrubbed int `json:"scrubbed"`
}

// A Member is one file of a bundle, with its check sum and a description in words.
type Member struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
	Holds  string `json:"holds"`
}

// An Absence is a member that the bundle does not have, and why.
type Absence struct {
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

// A Source is where a bundle's content comes from: the daemon itself, or the socket and the files of one.
type Source struct {
	Lang      string         // of the manifest's words: zh, en
	Config    *config.Config // nil: ConfigWhy tells why there is none
	ConfigWhy error
	State     func() (report.State, error)
	Scan      func(func(outbox.Record) bool) error // the records of the outbox, until the function returns false
	Past      func(func(outbox.PastDoc)) error     // the diagnoses of the history; nil for none
	Records   int                                  // bytes of diagnoses, the newest first to be taken
}

// A Part is one member before it is packed.
type Part struct {
	Name string
	Body []byte
}

// Make makes a bundle of what a source knows. It always succeeds; what could not be had is named in the manifest.
func (w Source) Make(now time.Time, agent report.Agent) ([]byte, Manifest, error) {
	m := Manifest{Format: Format, Made: now.UTC().Truncate(time.Second), ClockTrusted: stamp.ClockTrusted(now),
		Agent: agent, System: system(), Missing: []Absence{}}
	var parts []Part
	add := func(name string, body []byte, err error) {
		if err == nil && len(body) == 0 {
			err = say.New("none-there")
		}
		if err == nil && len(body) > maxMember {
			err = say.New("part-large", len(body))
		}
		if err != nil {
			m.Missing = append(m.Missing, Absence{name, say.Error(err, w.Lang)})
			return
		}
		parts = append(parts, Part{name, body})
	}
	state, err := w.State()
	var body []byte
	if err == nil {
		m.Terminal, m.Agent = state.Terminal, state.Agent
		body, err = json.Marshal(state)
	}
	add("state.json", body, err)
	kinds, err := w.kept()
	for _, k := range [...]struct{ name, kind string }{{"diagnoses.jsonl", report.KindDiagnosis},
		{"tally.jsonl", report.KindTally}, {"dropped.jsonl", report.KindDropped}} {
		add(k.name, kinds[k.kind], err)
	}
	if w.Config == nil {
		for _, name := range [...]string{"config.json", "logs.json", "commands.jsonl", "lives.json"} {
			add(name, nil, w.ConfigWhy)
		}
		return m.Pack(parts, w.Lang)
	}
	c := *w.Config
	if m.Terminal == "" {
		m.Terminal = c.Estate + "/" + c.Terminal
	}
	body, err = json.Marshal(c.Public())
	add("config.json", body, err)
	body, err = logPlaces(filepath.Join(c.StateDir, "logs.state"))
	add("logs.json", body, err)
	body, err = atomicfile.Read(filepath.Join(c.StateDir, "commands.audit"), maxOthers)
	add("commands.jsonl", body, Why(err))
	body, err = atomicfile.Read(filepath.Join(filepath.Dir(c.Hook.Socket), "lives.json"), keeper.MaxLives)
	add("lives.json", body, Why(err))
	return m.Pack(parts, w.Lang)
}

// Why gives the usual reason for a missing file in words, without the path.
func Why(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return say.New("none-there")
	case errors.Is(err, fs.ErrPermission):
		return say.New("not-allowed")
	}
	return err
}

// kept returns the records of the outbox by kind, one a line; where a bound is reached the oldest are left out. The
// diagnoses are those of the history too, which the fleet may have acknowledged long ago: each revision once, in their
// order.
func (w Source) kept() (map[string][]byte, error) {
	lines := map[string][][]byte{}
	size := map[string]int{}
	history, err := w.diagnoses()
	for _, doc := range history {
		lines[report.KindDiagnosis] = append(lines[report.KindDiagnosis], doc)
		size[report.KindDiagnosis] += len(doc) + 1
	}
	for size[report.KindDiagnosis] > w.Records {
		size[report.KindDiagnosis] -= len(lines[report.KindDiagnosis][0]) + 1
		lines[report.KindDiagnosis] = lines[report.KindDiagnosis][1:]
	}
	again := w.Scan(func(r outbox.Record) bool {
		if r.Kind == report.KindDiagnosis {
			return true
		}
		if !json.Valid(r.Doc) {
			return true
		}
		lines[r.Kind] = append(lines[r.Kind], bytes.Clone(r.Doc))
		size[r.Kind] += len(r.Doc) + 1
		for size[r.Kind] > maxOthers {
			size[r.Kind] -= len(lines[r.Kind][0]) + 1
			lines[r.Kind] = lines[r.Kind][1:]
		}
		return true
	})
	if err == nil { // what keeps the records from being read has been said
		err = again
	}
	all := map[string][]byte{}
	for kind, l := range lines {
		if len(l) > 0 {
			all[kind] = append(bytes.Join(l, []byte("\n")), '\n')
		}
	}
	return all, err
}

// diagnoses are all that history and outbox hold, each revision once, oldest first: ids ascend for ever.
func (w Source) diagnoses() ([][]byte, error) {
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
	if w.Past != nil {
		err = w.Past(func(d outbox.PastDoc) { add(d.Doc) })
	}
	err = errors.Join(err, w.Scan(func(r outbox.Record) bool {
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

// Pack writes the file, with the Manifest first, so that the list can be read without the rest.
func (m Manifest) Pack(parts []Part, lang string) ([]byte, Manifest, error) {
	for i, p := range parts {
		body, stopped := report.Scrub(p.Body)
		m.Scrubbed += stopped
		parts[i].Body = body
		sum := sha256.Sum256(body)
		m.Members = append(m.Members, Member{p.Name, len(body), "sha256:" + hex.EncodeToString(sum[:]), holds(p.Name, lang)})
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
	for _, p := range slices.Insert(parts, 0, Part{ManifestName, head}) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: p.Name, Method: zip.Deflate, Modified: m.Made})
		if err != nil {
			return nil, m, err
		}
		if _, err := f.Write(p.Body); err != nil {
			return nil, m, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, m, err
	}
	if out.Len() > MaxSize {
		return nil, m, fmt.Errorf("pack bundle: %d bytes, more than %d", out.Len(), MaxSize)
	}
	return out.Bytes(), m, nil
}

// logPlaces tells how far the payment logs were read. What identifies their content stays behind.
func logPlaces(state string) ([]byte, error) {
	b, err := atomicfile.Read(state, 64<<10)
	if err != nil {
		return nil, Why(err)
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
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " +
		unix.ByteSliceToString(u.Machine[:])
}

// Text is the Manifest as text for people.
func (m *Manifest) Text(lang string, packed int) string {
	var b bytes.Buffer
	for _, e := range m.Members {
		fmt.Fprintf(&b, "%-16s %8d  %s\n", e.Name, e.Size, e.Holds)
	}
	none, sum := "没有", "共 %d 字节（压缩后），疑似卡号 %d 处\n"
	if lang == "en" {
		none, sum = "missing", "%d bytes packed, %d places that looked like a card number\n"
	}
	for _, a := range m.Missing {
		fmt.Fprintf(&b, "%-16s %8s  %s\n", a.Name, none, a.Why)
	}
	fmt.Fprintf(&b, sum, packed, m.Scrubbed)
	return b.String()
}

// Bounds of a bundle that travels to the fleet, whose largest document is 64 kB.
const (
	replyBundle  = 40 << 10 // bytes of the file before base64
	replyRecords = 256 << 10
)

// Fitting packs as many of the newest diagnoses as fit into one document of the broker, or pass a slow line in
// reasonable time.
func (w Source) Fitting(now time.Time, agent report.Agent) ([]byte, Manifest, error) {
	for w.Records = replyRecords; ; {
		b, m, err := w.Make(now, agent)
		switch {
		case err != nil || len(b) <= replyBundle:
			return b, m, err
		case w.Records == 0:
			return nil, m, fmt.Errorf("even without diagnoses it has %d bytes, more than the %d that travel; fetch it with posdx bundle", len(b), replyBundle)
		}
		if w.Records /= 2; w.Records < 4<<10 {
			w.Records = 0
		}
	}
}

// Name is a name for the file, with terminal and time, so that a person can keep several.
func Name(terminal string, at time.Time) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, terminal)
	return "posdx-" + name + at.Format("-0102-150405") + ".zip"
}
