// Package notify tells people and programs of incidents: Alertmanager, webhooks (WeCom, DingTalk, Slack, Teams, or one
// with a template of its own) and e-mail.
//
// The store records what was told by which way. At each look what should have been told is compared with it. So after a
// way was unreachable for an hour, or after a restart, everything is told once and nothing twice; intermediate states
// of an incident are not told late.
package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"posdx/codes"
	"posdx/fleet/incident"
	"posdx/fleet/store"
)

// What is told of an incident.
const (
	Opened = "opened"
	Closed = "closed"
	GaveUp = "gave-up"
)

const (
	lookEvery = 15 * time.Second
	// maxLook bounds the incidents of one look.
	maxLook  = 500
	sendWait = 20 * time.Second
	backMin  = 2 * time.Second
	backMax  = 5 * time.Minute
	giveUp   = 6 * time.Hour // after which what is not told is news no more
	lateness = 24 * time.Hour
)

// incidents is the part of the store that is told of.
type incidents interface {
	FindIncidents(ctx context.Context, f store.IncidentFilter) ([]store.Incident, error)
	Cares(ctx context.Context, list []store.Incident) (map[int64]store.Care, error)
	Notices(ctx context.Context, way string) (map[int64]string, error)
	Notice(ctx context.Context, way string, incident int64, told string, at time.Time) error
}

// A Notice is what is told: one incident at one moment.
type Notice struct {
	Event     string    `json:"event"` // opened closed
	Incident  int64     `json:"incident"`
	Estate    string    `json:"estate"`
	Cause     string    `json:"cause"`
	Segment   string    `json:"segment"`
	Code      string    `json:"code,omitempty"`
	Place     string    `json:"place,omitempty"` // carrier=x site=y; empty: everywhere, or outside of what is recorded
	Only      string    `json:"only,omitempty"`  // card_scheme=x entry=y: only such sales fail
	Terminals int       `json:"terminals"`
	Of        int       `json:"of_terminals"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until,omitzero"`
	ActBy     string    `json:"act_by"`
	Visit     bool      `json:"visit"`
	Link      string    `json:"link,omitempty"`
	Title     string    `json:"title"` // in the way's language
	Text      string    `json:"text"`  // the same
}

// A sender tells one notice by one way.
type sender interface {
	send(ctx context.Context, n Notice) error
}

// permanent marks an error that trying again cannot mend.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// A way is one configured receiver.
type way struct {
	Way
	to sender

	mu      sync.Mutex
	failing map[int64]*failing // guarded by mu
}

type failing struct {
	next  time.Time
	since time.Time
	wait  time.Duration
}

// A Teller tells of incidents by all ways.
type Teller struct {
	Source    incidents
	Knowledge *codes.Knowledge
	Log       *slog.Logger
	Now       func() time.Time // nil: time.Now

	ways []*way
	link string
	lang string
	sent *prometheus.CounterVec
}

// New makes a teller of a configuration that was checked.
func New(c Config, src incidents, k *codes.Knowledge, r prometheus.Registerer, log *slog.Logger) (*Teller, error) {
	t := &Teller{Source: src, Knowledge: k, Log: log, link: strings.TrimSuffix(c.Link, "/"), lang: c.Language,
		sent: prometheus.NewCounterVec(
			prometheus.CounterOpts{
				Namespace: "posdx_fleet",
				Name:      "notifications_total",
				Help:      "Notifications, by way and whether they were sent, are tried again, or were given up.",
			},
			[]string{"way", "result"},
		)}
	for _, w := range c.Way {
		to, err := w.sender()
		if err != nil {
			return nil, err
		}
		t.ways = append(t.ways, &way{Way: w, to: to, failing: map[int64]*failing{}})
		for _, result := range []string{"sent", "retried", "failed"} {
			t.sent.WithLabelValues(w.Name, result)
		}
	}
	if r != nil {
		r.MustRegister(t.sent)
	}
	return t, nil
}

func (t *Teller) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

// Run tells of incidents until ctx ends. Ways do not wait for each other.
func (t *Teller) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, w := range t.ways {
		wg.Go(func() {
			tick := time.NewTicker(lookEvery)
			defer tick.Stop()
			for {
				if err := t.look(ctx, w); err != nil && ctx.Err() == nil {
					t.Log.Error("cannot tell of incidents", "way", w.Name, "error", err)
				}
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	return nil
}

// look tells by one way what should have been told.
func (t *Teller) look(ctx context.Context, w *way) error {
	f := store.IncidentFilter{Limit: maxLook}
	if w.Estates != nil {
		f.In = w.Estates
	}
	list, err := t.Source.FindIncidents(ctx, f)
	if err != nil {
		return err
	}
	cares, err := t.Source.Cares(ctx, list)
	if err != nil {
		return err
	}
	told, err := t.Source.Notices(ctx, w.Name)
	if err != nil {
		return err
	}
	now := t.now()
	if am, ok := w.to.(*alertmanager); ok {
		return t.repeat(ctx, w, am, list, cares, now)
	}
	slices.Reverse(list) // the oldest first
	for _, i := range list {
		event := t.due(w, i, cares[i.No], told[i.No], now)
		if event == "" {
			continue
		}
		result, err := t.tell(ctx, w, i, event, now)
		if err != nil {
			t.Log.Warn("cannot tell of an incident", "way", w.Name, "incident", i.No, "result", result, "error", err)
		}
		if result == "" {
			continue // not yet its time
		}
		t.sent.WithLabelValues(w.Name, result).Inc()
		if result == "retried" {
			continue
		}
		mark := event
		if result == "failed" && event == Opened {
			mark = GaveUp
		}
		if err := t.Source.Notice(ctx, w.Name, i.No, mark, now); err != nil {
			return err
		}
	}
	return nil
}

// due is what is to be told of an incident, empty for nothing.
func (t *Teller) due(w *way, i store.Incident, c store.Care, told string, now time.Time) string {
	switch {
	case told == Closed, told == GaveUp:
		if told == Closed && i.Closed.IsZero() && !c.Muted.After(now) {
			return Opened // it came back
		}
		return ""
	case !i.Closed.IsZero():
		if told == Opened && now.Sub(i.Closed) < lateness {
			return Closed
		}
		return "" // came and went unsaid, or long ago
	case told == Opened, c.Muted.After(now), i.Terminals < w.MinTerminals:
		return ""
	case len(w.Segments) > 0 && !slices.Contains(w.Segments, i.Segment):
		return ""
	}
	return Opened
}

// tell sends once, if it is time to, and says how it went: sent, retried (later), failed (for good) or nothing.
func (t *Teller) tell(ctx context.Context, w *way, i store.Incident, event string, now time.Time) (string, error) {
	w.mu.Lock()
	f := w.failing[i.No]
	w.mu.Unlock()
	if f != nil && now.Before(f.next) {
		return "", nil
	}
	bound, cancel := context.WithTimeout(ctx, sendWait)
	err := w.to.send(bound, t.Notice(i, event, w.language(t.lang)))
	cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.failing, i.No)
		return "sent", nil
	}
	if ctx.Err() != nil {
		return "", nil
	}
	if f == nil {
		f = &failing{since: now, wait: backMin}
		w.failing[i.No] = f
	}
	var p permanent
	if errors.As(err, &p) || now.Sub(f.since) >= giveUp {
		delete(w.failing, i.No)
		return "failed", err
	}
	f.next = now.Add(f.wait)
	f.wait = min(2*f.wait, backMax)
	return "retried", err
}

// repeat tells Alertmanager of all that lasts, as it wants to be told again and again, and of what ended.
func (t *Teller) repeat(
	ctx context.Context,
	w *way,
	am *alertmanager,
	list []store.Incident,
	cares map[int64]store.Care,
	now time.Time,
) error {
	var alerts []alert
	for _, i := range list {
		if len(w.Segments) > 0 && !slices.Contains(w.Segments, i.Segment) ||
			i.Terminals < w.MinTerminals && i.Closed.IsZero() ||
			cares[i.No].Muted.After(now) ||
			!i.Closed.IsZero() && now.Sub(i.Closed) > alertKeep {
			continue
		}
		event := Opened
		if !i.Closed.IsZero() {
			event = Closed
		}
		alerts = append(alerts, asAlert(t.Notice(i, event, w.language(t.lang)), now))
	}
	w.mu.Lock()
	f := w.failing[0]
	w.mu.Unlock()
	if len(alerts) == 0 || f != nil && now.Before(f.next) {
		return nil
	}
	bound, cancel := context.WithTimeout(ctx, sendWait)
	defer cancel()
	err := am.post(bound, alerts)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.failing, 0)
		t.sent.WithLabelValues(w.Name, "sent").Inc()
		return nil
	}
	if f == nil {
		f = &failing{wait: backMin}
		w.failing[0] = f
	}
	f.next = now.Add(f.wait)
	f.wait = min(2*f.wait, time.Minute) // what lasts is told before Alertmanager forgets it
	t.sent.WithLabelValues(w.Name, "retried").Inc()
	return err
}

// Notice makes the notice of an incident.
func (t *Teller) Notice(i store.Incident, event, lang string) Notice {
	n := Notice{
		Event:     event,
		Incident:  i.No,
		Estate:    i.Estate,
		Cause:     i.Cause,
		Segment:   i.Segment,
		Code:      i.Code,
		Terminals: i.Terminals,
		Of:        i.Of,
		Since:     i.Opened,
		Until:     i.Closed,
		ActBy:     "none",
	}
	if event == Closed {
		n.Terminals = i.Peak
	}
	say := func(key string) string { return words[key].In(lang) }
	named := func(of map[string]string) (plain, said string) {
		var list, told []string
		for _, d := range slices.Sorted(maps.Keys(of)) {
			value := of[d]
			if d == "entry" {
				value = cmp.Or(say("entry."+value), t.Knowledge.Word("fact", value).In(lang))
			}
			list = append(list, d+"="+of[d])
			told = append(told, cmp.Or(say("dim."+d), t.Knowledge.Word("fact", d).In(lang))+" "+value)
		}
		return strings.Join(list, " "), strings.Join(told, " · ")
	}
	var placed, only string
	n.Place, placed = named(i.Place)
	n.Only, only = named(i.Only)
	if t.link != "" {
		n.Link = fmt.Sprintf("%s/incident/%d", t.link, i.No)
	}
	title, step, by := i.Cause, "", codes.Text{}
	if w, ok := words[i.Segment]; ok { // silence has no cause that is known
		title = w.In(lang)
	} else if c, ok := t.Knowledge.Cause(i.Cause); ok {
		title, n.ActBy, n.Visit = c.Title.In(lang), incident.Acts(c, i.Place), c.Visit
		step = c.StepsFor("").In(lang)
		by = t.Knowledge.Word("actor", n.ActBy)
		if n.ActBy != c.Act {
			step = "" // those of another
		}
	}
	n.Title = fmt.Sprintf(say("title."+event), i.No, title, i.Estate)
	lines := []string{n.Title}
	switch {
	case placed != "":
		lines = append(lines, say("place")+placed)
	case only == "":
		lines = append(lines, say("outside"))
	}
	if only != "" {
		lines = append(lines, say("only")+only)
	}
	lines = append(lines, fmt.Sprintf(say("terminals"), n.Terminals, n.Of))
	if i.Code != "" {
		lines = append(lines, say("code")+i.Code)
	}
	lines = append(lines, say("since")+i.Opened.Local().Format("2006-01-02 15:04 MST"))
	if event == Closed {
		lines = append(lines, say("until")+i.Closed.Local().Format("2006-01-02 15:04 MST"))
	} else {
		if by.In(lang) != "" {
			lines = append(lines, say("act")+by.In(lang))
		}
		if step != "" {
			lines = append(lines, step)
		}
	}
	if n.Link != "" {
		lines = append(lines, n.Link)
	}
	n.Text = strings.Join(lines, "\n")
	return n
}

// words are what notices are made of.
var words = map[string]codes.Text{
	"title.opened":    {ZH: "事件 %d：%s（%s）", EN: "Incident %d: %s (%s)"},
	"title.closed":    {ZH: "已恢复，事件 %d：%s（%s）", EN: "Over, incident %d: %s (%s)"},
	"place":           {ZH: "共同点：", EN: "Shared: "},
	"only":            {ZH: "只有这些交易失败：", EN: "Only these sales fail: "},
	"outside":         {ZH: "共同点不在已记录的维度内", EN: "Shared: nothing that is recorded; the cause lies outside"},
	"terminals":       {ZH: "终端：%d 台，共 %d 台", EN: "Terminals: %d of %d"},
	"code":            {ZH: "应答码：", EN: "Code: "},
	"since":           {ZH: "开始：", EN: "Since: "},
	"until":           {ZH: "结束：", EN: "Until: "},
	"act":             {ZH: "由谁处理：", EN: "Who acts: "},
	"silence":         {ZH: "终端失联", EN: "terminals fell silent"},
	"idle":            {ZH: "终端在线却没有交易", EN: "terminals are online and sell nothing"},
	"dim.site":        {ZH: "门店", EN: "site"},
	"dim.model":       {ZH: "机型", EN: "model"},
	"dim.bearer":      {ZH: "承载", EN: "bearer"},
	"dim.region":      {ZH: "地区", EN: "region"},
	"dim.firmware":    {ZH: "固件", EN: "firmware"},
	"dim.application": {ZH: "支付应用", EN: "application"},
	"dim.agent":       {ZH: "终端软件", EN: "agent"},
	"dim.knowledge":   {ZH: "知识库", EN: "knowledge"},
	"dim.scheme":      {ZH: "码表", EN: "code table"},
	"dim.code":        {ZH: "应答码", EN: "code"},
	"dim.entry":       {ZH: "读卡方式", EN: "entry"},
	"dim.card_scheme": {ZH: "卡组织", EN: "card scheme"},
	"entry.code":      {ZH: "扫码", EN: "QR code"},
	"entry.manual":    {ZH: "手工输入", EN: "typed in"},
	"test":            {ZH: "posdx-fleet 的测试通知", EN: "a test of posdx-fleet's notifications"},
}

// Try sends a test notice by one way, at once.
func (t *Teller) Try(ctx context.Context, c Config, name string) error {
	for _, w := range t.ways {
		if w.Name != name {
			continue
		}
		bound, cancel := context.WithTimeout(ctx, sendWait)
		defer cancel()
		return w.to.send(bound, c.Test(t.now(), w.language(t.lang)))
	}
	return fmt.Errorf("no way %q", name)
}
