package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/report"
	"posdx/agent/translate"
	"posdx/fleet/incident"
	"posdx/fleet/sample"
	"posdx/fleet/simulate"
	"posdx/fleet/store"
)

// Days that a fleet can live.
const (
	dayMorning = "morning" // played now, over a real broker, to a real posdx-fleet
	dayWork    = "workday" // in its own time: seven incidents of different kinds
	dayCards   = "cards"   // in its own time: twelve in which only some cards fail
	dayQuiet   = "quiet"   // in its own time: none
)

const (
	// minLive: with fewer terminals some seeds' region is too small for its silence to be told from a shop that closes, or
	// too few run the bad application to stand out on the fleet's first day.
	minLive    = 450
	maxLive    = 1500 // sessions of a morning; the embedded broker takes 2 000
	lookEvery  = 5 * time.Minute
	morningMax = 55 * time.Second // for all four incidents to be on the page
)

// fleetDay simulates a fleet of terminals.
func fleetDay(ctx context.Context, args []string, out, talk io.Writer) int {
	f := flag.NewFlagSet("fleet", flag.ContinueOnError)
	lang := translate.Language(args)
	f.String("lang", lang, langUsage)
	n := f.Int("terminals", 500, "`终端数`，10 到 100000；morning 为 450 到 1500：再少，四个事件显不出来\nhow many `terminals`, 10 to 100000; of a morning 450 to 1500: fewer are too few for its four incidents to show")
	day := f.String("day", dayMorning, "`哪种一天`。morning：现在演给为它启动的 posdx-fleet；workday、cards（只有一部分卡失败）、quiet：按自己的时间\nwhich `day`. morning: played now to a posdx-fleet that is started for it; workday, cards (only some cards fail), quiet: in their own time")
	warm := f.Int("warm", 6, "除 morning 外，之前没有事件的`天数`，使平时的数量已知\n`days` without incidents before, so that the base rate is known; not of a morning")
	seed := f.Uint64("seed", 1, "换一个`数`就是另一批终端和别的地点\nanother `number` is another fleet and other places")
	truth := f.String("truth", "", "写下所造事件的`文件`，JSON\n`file` for what was made to happen, as JSON")
	bin := f.String("bin", "bin", "posdx-fleet 所在的`目录`\n`folder` of posdx-fleet")
	listen := f.String("listen", "127.0.0.1:8080", "morning 的网页`地址`；端口被占用就换一个空闲的\n`address` of a morning's page; a free port if that one is taken")
	once := f.Bool("once", false, "找到事件就结束；否则网页保留到 Ctrl-C\nend when the incidents are found; otherwise the page stays until Ctrl-C")
	help(f, lang, "用法：posdx-lab fleet [--terminals N] [--day DAY] [选项]\n\n模拟一批终端，其中的事件是已知的，并说出找到了哪些：地点对不对、迟了没有、有没有误报。\n退出码 0：全部找到。\n\n例：\n  posdx-lab fleet --terminals 500 --day morning --once\n  posdx-lab fleet --terminals 10000 --day workday --truth truth.json\n\n选项：",
		"usage: posdx-lab fleet [--terminals N] [--day DAY] [OPTIONS]\n\nSimulates a fleet with incidents that are known, and says which were found, with the right place or not, late or for\nnothing. Exit code 0: all found.\n\nexample:\n  posdx-lab fleet --terminals 500 --day morning --once\n  posdx-lab fleet --terminals 10000 --day workday --truth truth.json\n\noptions:")
	if code, ok := parse(f, lang, args, out, talk); !ok {
		return code
	}
	switch {
	case *day == dayMorning && *n < minLive:
		complain(talk, lang, " fleet：--terminals %d：morning 至少 %d：再少，四个事件显不出来；请给多些，或用 --day %s",
			" fleet: --terminals %d: of a morning at least %d: fewer are too few for its four incidents to show; give more, or --day %s",
			*n, minLive, dayWork)
		return 2
	case *n < 10 || *n > 100_000 || *day == dayMorning && *n > maxLive || *warm < 0 || *warm > 60 || f.NArg() > 0:
		complain(talk, lang, " fleet：--terminals 为 10 到 100000，morning 为 450 到 1500；--warm 为 0 到 60；后面不能有别的词",
			" fleet: --terminals 10 to 100000, of a morning 450 to 1500; --warm 0 to 60; no further words")
		return 2
	}
	var score simulate.Score
	var truths []*simulate.Truth
	var err error
	switch *day {
	case dayMorning:
		score, truths, err = morning(ctx, out, lang, *n, *seed, *bin, *listen, *once)
	case dayWork, dayCards, dayQuiet:
		score, truths, err = ownTime(ctx, talk, lang, *n, *seed, *warm, *day)
	default:
		complain(talk, lang, " fleet：没有 %q 这种一天；有 %s、%s、%s 和 %s", " fleet: no day %q; there are %s, %s, %s and %s",
			*day, dayMorning, dayWork, dayCards, dayQuiet)
		return 2
	}
	if err == nil && *truth != "" {
		var b []byte
		if b, err = json.MarshalIndent(truths, "", " "); err == nil {
			err = os.WriteFile(*truth, append(b, '\n'), 0o644)
		}
	}
	if err != nil {
		complain(talk, lang, " fleet：%v", " fleet: %v", err)
		return 1
	}
	score.Print(out, lang)
	if score.Found < score.Truths {
		return 1
	}
	return 0
}

// ownTime lives days as fast as they can be looked at.
func ownTime(ctx context.Context, talk io.Writer, lang string, n int, seed uint64, warm int, day string) (
	simulate.Score, []*simulate.Truth, error) {
	w := simulate.New(n, seed, time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)) // a Monday
	shelf := simulate.NewShelf(w)
	watch := shelf.Watcher()
	for d := range warm {
		before := w.Now
		if err := shelf.Live(ctx, watch, 24*time.Hour, lookEvery); err != nil {
			return simulate.Score{}, nil, err
		}
		day := w.Judge(shelf.All(), before, lookEvery)
		fmt.Fprintf(talk, said(lang, "没有事件的第 %d 天：报了 %d 个\n", "day %d without incidents: %d found\n"), d+1, day.False)
		for _, l := range day.Lines {
			fmt.Fprintln(talk, " ", l.In(lang))
		}
	}
	since := w.Now
	switch day {
	case dayWork:
		w.Incidents(7, w.Now)
	case dayCards:
		w.Combined(w.Now)
	}
	err := shelf.Live(ctx, watch, 24*time.Hour, lookEvery)
	return w.Judge(shelf.All(), since, lookEvery), w.Truths, err
}

// A live terminal has a session with a real broker.
type live struct {
	*sample.Terminal
	labels map[string]string

	mu     sync.Mutex
	conn   net.Conn
	client mqtt.Client
	events int
}

// connect opens the session and publishes status and birth. It returns when the broker has them, since they would be
// lost with a connection that is cut before.
func (l *live) connect(broker string) error {
	u, err := url.Parse(broker)
	if err != nil {
		return err
	}
	o := mqtt.NewClientOptions().AddBroker(broker).SetClientID(l.At.Terminal).SetAutoReconnect(false).
		SetKeepAlive(time.Minute).SetConnectTimeout(20*time.Second).
		SetWill(l.At.Topic(report.KindStatus), `{"state":"offline","reason":"connection lost"}`, 1, true).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			c, err := net.Dial("tcp", u.Host)
			l.conn = c
			return c, err
		})
	l.client = mqtt.NewClient(o)
	if t := l.client.Connect(); !t.WaitTimeout(30*time.Second) || t.Error() != nil {
		return fmt.Errorf("%s: cannot connect to the broker: %v", l.At.Terminal, t.Error())
	}
	online := l.client.Publish(l.At.Topic(report.KindStatus), 1, true, `{"state":"online"}`)
	b := l.Birth(1)
	b.Labels = l.labels
	topic, payload := l.Uncounted(report.KindBirth, b)
	for _, t := range []mqtt.Token{online, l.client.Publish(topic, 1, true, payload)} {
		if !t.WaitTimeout(30*time.Second) || t.Error() != nil {
			return fmt.Errorf("%s: cannot tell the broker what it is: %v", l.At.Terminal, t.Error())
		}
	}
	return nil
}

func (l *live) fail(code, cause, segment string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events++
	topic, payload := l.Wrap(report.KindDiagnosis, l.Diagnosis(l.events, 2, code, cause, segment))
	l.client.Publish(topic, 1, false, payload)
}

// morning plays an operator's morning to a posdx-fleet: everyday failures, then four incidents at once.
func morning(ctx context.Context, out io.Writer, lang string, n int, seed uint64, bin, listen string, once bool) (
	simulate.Score, []*simulate.Truth, error) {
	var none simulate.Score
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f := &fleetProgram{}
	defer func() { stop(); f.end() }()
	if err := f.start(ctx, bin, listen); err != nil {
		return none, nil, err
	}
	fmt.Fprintf(out, said(lang, "管理平台的网页：%s\n%d 台终端上线\n", "the fleet's page: %s\n%d terminals come\n"), f.page, n)

	w := simulate.New(n, seed, time.Now())
	lives, err := f.arrive(ctx, w)
	defer func() {
		for _, l := range lives {
			if l.client != nil {
				l.client.Disconnect(0)
			}
		}
	}()
	if err != nil {
		return none, nil, err
	}
	began := play(out, lang, w, lives, rand.New(rand.NewPCG(seed, 2)))
	list, err := f.find(ctx, w)
	score := w.Judge(list, began, incident.Every)
	if !once && ctx.Err() == nil {
		score.Print(out, lang)
		fmt.Fprintf(out, said(lang, "网页保留到 Ctrl-C：%sincidents\n", "the page stays until Ctrl-C: %sincidents\n"), f.page)
		<-ctx.Done()
	}
	return score, w.Truths, err
}

// A fleetProgram is a posdx-fleet with its own broker, on loopback, over an empty folder.
type fleetProgram struct {
	dir          string
	cmd          *exec.Cmd
	broker, page string // their addresses
}

// start starts it, on another port where listen is taken, and returns when it takes documents. It runs until ctx ends.
func (f *fleetProgram) start(ctx context.Context, bin, listen string) (err error) {
	if l, err := net.Listen("tcp", listen); err != nil {
		listen = "127.0.0.1:0"
	} else {
		l.Close()
	}
	if f.dir, err = os.MkdirTemp("", "posdx-fleet-"); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "posdx-fleet"), "serve", "--open", "admin", "--data", f.dir,
		"--listen", listen, "--mqtt-listen", "127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start posdx-fleet: %w", err)
	}
	f.cmd = cmd
	var last string
	for lines := bufio.NewScanner(said); (f.broker == "" || f.page == "") && lines.Scan(); {
		last = lines.Text()
		for _, w := range strings.Fields(last) {
			if v, ok := strings.CutPrefix(w, "address="); ok && strings.Contains(last, "broker listens") {
				f.broker = "tcp://" + v
			}
			if v, ok := strings.CutPrefix(w, "page="); ok {
				f.page = v
			}
		}
	}
	if f.page == "" {
		return fmt.Errorf("posdx-fleet did not start: %s", last)
	}
	go io.Copy(io.Discard, said)
	return ready(ctx, f.page) // what is told before the fleet listens at its broker may be lost
}

// end waits for the end of the program and leaves nothing behind.
func (f *fleetProgram) end() {
	if f.cmd != nil {
		f.cmd.Wait()
	}
	os.RemoveAll(f.dir)
}

// arrive connects every terminal of a world, sixteen at a time, and returns when the fleet knows them.
func (f *fleetProgram) arrive(ctx context.Context, w *simulate.World) ([]*live, error) {
	lives := make([]*live, len(w.Terminals))
	errs := make(chan error, len(lives))
	var all sync.WaitGroup
	gate := make(chan struct{}, 16)
	for i, t := range w.Terminals {
		l := &live{Terminal: sample.New(simulate.Estate, t.Name), labels: t.Labels}
		lives[i] = l
		all.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			err := l.connect(f.broker)
			if err == nil {
				err = known(ctx, f.page, l.At.Terminal)
			}
			if err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	select {
	case err := <-errs:
		return lives, err
	default:
		return lives, nil
	}
}

// play has the terminals fail as on any day, and then as the morning's incidents make them. It returns when these
// began.
func play(out io.Writer, lang string, w *simulate.World, lives []*live, r *rand.Rand) (began time.Time) {
	for range len(lives) / 25 {
		lives[r.IntN(len(lives))].fail("51", "account.funds", "issuer")
	}
	began = time.Now()
	for _, k := range morningTruths(w) {
		k.From, k.To = began, began.Add(time.Hour)
		t := w.Add(k)
		fmt.Fprintf(out, said(lang, "开始：%s：%s\n", "%s begins: %s\n"), simulate.NameOf(t.Name).In(lang), incident.Place(t.Place))
		told := 0
		for _, l := range lives {
			if !incident.Place(t.Place).Holds(l.labels) {
				continue
			}
			switch {
			case t.Kind == incident.KindSilence:
				l.conn.Close()
			case r.IntN(100) < 40:
				l.fail(t.Code, t.Cause, t.Segment)
			default:
				continue
			}
			if told++; told == 3 {
				t.Third = time.Now()
			}
		}
	}
	return began
}

// find waits until the page shows every incident, or time is up, and returns what it shows.
func (f *fleetProgram) find(ctx context.Context, w *simulate.World) (list []store.Incident, err error) {
	for limit := time.Now().Add(morningMax); ; {
		list, err = incidentsOf(ctx, f.page)
		if err == nil && found(w, list) == len(w.Truths) || time.Now().After(limit) || ctx.Err() != nil {
			return list, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// morningTruths are the four incidents of a morning.
func morningTruths(w *simulate.World) []simulate.Truth {
	dim := func(d string, k int) string { return w.Terminals[k%len(w.Terminals)].Labels[d] }
	return []simulate.Truth{
		{Name: "storm at an acquirer", Kind: incident.KindSurge, Code: "96", Cause: "host.malfunction", Segment: "acquirer", Place: map[string]string{"acquirer": dim("acquirer", 3)}},
		{Name: "a carrier's partial outage", Kind: incident.KindSurge, Code: "ConnectError", Cause: "wan.outage", Segment: "wan", Place: map[string]string{"carrier": dim("carrier", 7)}},
		{Name: "a bad application on one model", Kind: incident.KindSurge, Code: "97", Cause: "terminal.config", Segment: "terminal", Place: map[string]string{"model": dim("model", 11), "application": dim("application", 11)}},
		{Name: "a region falls silent", Kind: incident.KindSilence, Cause: report.Unexplained, Place: map[string]string{"region": dim("region", 13)}},
	}
}

// found counts the truths whose place is on the page.
func found(w *simulate.World, list []store.Incident) int {
	n := 0
	for _, k := range w.Truths {
		for _, i := range list {
			if maps.Equal(i.Place, k.Place) {
				n++
				break
			}
		}
	}
	return n
}

func incidentsOf(ctx context.Context, page string) ([]store.Incident, error) {
	var a struct{ Incidents []store.Incident }
	err := ask(ctx, page+"api/v1/incidents", &a)
	return a.Incidents, err
}

// knows is how long the fleet may take to be ready, and to know a terminal.
const knows = 30 * time.Second

// ready waits until documents can come in.
func ready(ctx context.Context, page string) error {
	return until(ctx, "the fleet is not ready", func() (bool, error) {
		err := ask(ctx, page+"healthz", nil)
		return err == nil, err
	})
}

// known waits until the fleet knows what a terminal is: an incident before that has no place.
func known(ctx context.Context, page, terminal string) error {
	return until(ctx, "the fleet does not know "+terminal, func() (bool, error) {
		var t store.Terminal
		err := ask(ctx, page+"api/v1/terminals/"+simulate.Estate+"/"+terminal, &t)
		return err == nil && t.State == "online" && len(t.Birth) > 0, err
	})
}

func until(ctx context.Context, not string, is func() (bool, error)) error {
	end := time.After(knows)
	for {
		ok, err := is()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return fmt.Errorf("%s: %v", not, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ask reads an answer of the fleet; nil: only that it is a good one.
func ask(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(io.LimitReader(r.Body, 16<<20)).Decode(into)
}
