package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"posdx/agent/report"
)

// Times and bounds of a worker behind a NATS cluster.
const (
	memberEvery = 2 * time.Second  // between a worker's signs of life
	memberLife  = 8 * time.Second  // without one its partitions go to others
	ackWait     = 30 * time.Second // until what a crashed worker had taken is given to another
	ackMost     = 1000             // documents of one partition that are taken and not acknowledged
	pullAhead   = 200              // of these, in the worker's memory before they are decoded
	adminWait   = 10 * time.Second // for the cluster to answer about its streams

	stream  = "POSDX"
	members = "posdx_workers"
	parted  = "posdx" // first word of the subjects in the stream: posdx.PARTITION.ESTATE.TERMINAL.KIND
)

// DefaultPartitions is more than there will be workers, so that they share alike.
const DefaultPartitions = 24

// captured are the kinds of documents that the stream takes.
var captured = []string{report.KindStatus, report.KindBirth, report.KindDiagnosis, report.KindHealth, report.KindTally,
	report.KindDropped, report.KindOutcome, report.KindAsked, "reply.>"}

// NATSConfig is how to reach a NATS cluster whose MQTT listeners the terminals use.
type NATSConfig struct {
	URL                       string // nats://host:4222, several parted by commas
	Creds                     string // file of the account that the terminals are in
	CAFile, CertFile, KeyFile string // PEM
	Worker                    string // this worker's name among the others

	// Of the stream, which the first worker makes: into how many parts the terminals go, how many nodes hold it, and how
	// large it grows before it takes no more. The terminals then keep what is not acknowledged.
	Partitions, Replicas int
	MaxBytes             int64
}

// servers are the nodes, a bare host:4222 as nats://host:4222.
func (cfg NATSConfig) servers() []string {
	list := strings.Split(cfg.URL, ",")
	for i, s := range list {
		if s = strings.TrimSpace(s); !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		list[i] = s
	}
	return list
}

// Check says what is wrong with the configuration: what no try to connect would mend.
func (cfg NATSConfig) Check() error {
	for _, s := range cfg.servers() {
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" {
			return fmt.Errorf("node %q: not an address; want nats://host:4222", cfg.redacted())
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return fmt.Errorf("node %q: %q is no way to reach a NATS server; want nats://host:4222 (or tls, ws, wss)",
				cfg.redacted(), u.Scheme)
		}
	}
	if cfg.Creds != "" {
		if _, err := os.ReadFile(cfg.Creds); err != nil {
			return fmt.Errorf("read credentials: %w", err)
		}
	}
	_, err := Config{CAFile: cfg.CAFile, CertFile: cfg.CertFile, KeyFile: cfg.KeyFile}.tls()
	return err
}

// redacted are the nodes without passwords, nor tokens, which stand where a name does.
func (cfg NATSConfig) redacted() string {
	list := cfg.servers()
	for i, s := range list {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			list[i] = "(not a URL)"
			continue
		case u.User != nil:
			u.User = url.User("xxxxx")
		}
		list[i] = u.String()
	}
	return strings.Join(list, ",")
}

// NewNATS makes an Ingest that pulls from a stream of a NATS cluster. Each of several workers pulls its part of the
// terminals, so one terminal's documents stay in order; when a worker goes the others take its part over.
func NewNATS(cfg NATSConfig, s committer, m *Metrics, log *slog.Logger, changed func()) *Ingest {
	in := newIngest(s, m, log, changed)
	in.where = cfg.redacted()
	in.session = func(ctx context.Context) error { return in.natsSession(ctx, cfg) }
	return in
}

func (in *Ingest) natsSession(ctx context.Context, cfg NATSConfig) error {
	nc, err := nats.Connect(strings.Join(cfg.servers(), ","), cfg.options(in.log)...)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	w := &worker{in: in, cfg: cfg, pulls: map[int]context.CancelFunc{}}
	bound, cancel := context.WithTimeout(ctx, adminWait)
	defer cancel()
	if err := w.prepare(bound, js); err != nil {
		return err
	}
	cancel()
	in.metrics.Connected.Set(1)
	in.log.Info("session with the broker", "broker", in.where, "worker", cfg.Worker)
	defer in.metrics.Connected.Set(0)

	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() { in.acks.runNATS(ctx, nc) })
	w.run(ctx)
	return ctx.Err()
}

func (cfg NATSConfig) options(log *slog.Logger) []nats.Option {
	list := []nats.Option{
		nats.Name("posdx-fleet " + cfg.Worker), nats.MaxReconnects(-1), nats.ReconnectWait(backoffMin),
		nats.ReconnectJitter(backoffMin, backoffMin), nats.Timeout(connectWait),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // else the session was ended
				log.Warn("a node of the cluster is gone", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { log.Info("at another node", "node", c.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Debug("nats", "error", err) }),
	}
	if cfg.Creds != "" {
		list = append(list, nats.UserCredentials(cfg.Creds))
	}
	if cfg.CAFile != "" {
		list = append(list, nats.RootCAs(cfg.CAFile))
	}
	if cfg.CertFile != "" || cfg.KeyFile != "" {
		list = append(list, nats.ClientCert(cfg.CertFile, cfg.KeyFile))
	}
	return list
}

// A worker pulls the partitions that are its own among the workers there are.
type worker struct {
	in     *Ingest
	cfg    NATSConfig
	stream jetstream.Stream
	kv     jetstream.KeyValue

	pulls map[int]context.CancelFunc // by partition
	wg    sync.WaitGroup
}

// prepare makes the stream and the workers' list, or takes those that are there.
func (w *worker) prepare(ctx context.Context, js jetstream.JetStream) error {
	var subjects []string
	for _, kind := range captured {
		subjects = append(subjects, "pos.v1.*.*."+kind)
	}
	want := jetstream.StreamConfig{
		Name: stream, Subjects: subjects, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardNew, MaxBytes: w.cfg.MaxBytes, Replicas: w.cfg.Replicas, MaxMsgSize: report.MaxMessage,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "pos.v1.*.*.>",
			Destination: fmt.Sprintf("%s.{{partition(%d,1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}.>", parted, w.cfg.Partitions)},
	}
	var err error
	w.stream, err = js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		w.stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another worker was first
			w.stream, err = js.Stream(ctx, stream)
		}
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	has := w.stream.CachedInfo().Config
	if has.SubjectTransform == nil || has.SubjectTransform.Destination != want.SubjectTransform.Destination {
		return fmt.Errorf("stream %s is cut into other parts than --partitions %d; all workers give one number, and to change it the stream is drained and deleted first",
			stream, w.cfg.Partitions)
	}
	w.kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: members, TTL: memberLife,
		Replicas: w.cfg.Replicas, Storage: jetstream.MemoryStorage})
	if err != nil {
		return fmt.Errorf("list of workers %s: %w", members, err)
	}
	return nil
}

// run gives signs of life and pulls what is this worker's, until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer func() {
		for _, stop := range w.pulls {
			stop()
		}
		w.wg.Wait()
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), memberEvery)
		defer cancel()
		w.kv.Delete(bound, w.cfg.Worker) // or it is missed when its time is up
	}()
	for {
		bound, cancel := context.WithTimeout(ctx, memberLife)
		list, err := w.members(bound)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil: // what is pulled goes on being pulled: no document is taken twice by two that pull it
			w.in.log.Warn("cannot ask who the workers are", "error", err)
		default:
			w.share(ctx, list)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(memberEvery):
		}
	}
}

func (w *worker) members(ctx context.Context) ([]string, error) {
	if _, err := w.kv.Put(ctx, w.cfg.Worker, nil); err != nil {
		return nil, err
	}
	list, err := w.kv.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// share begins to pull the partitions that came to be this worker's and lets go of those that are another's now.
func (w *worker) share(ctx context.Context, workers []string) {
	for p := range w.cfg.Partitions {
		mine, stop := owner(p, workers) == w.cfg.Worker, w.pulls[p]
		switch {
		case mine && stop == nil:
			c, cancel := context.WithCancel(ctx)
			w.pulls[p] = cancel
			w.wg.Go(func() { w.pull(c, p) })
		case !mine && stop != nil:
			stop()
			delete(w.pulls, p)
		default:
			continue
		}
		w.in.log.Debug("partition", "number", p, "mine", mine, "workers", len(workers))
	}
}

// owner is the worker that pulls a partition. All workers find the same, and when one comes or goes only its own
// partitions change hands (rendezvous hashing).
func owner(partition int, workers []string) string {
	weight := func(worker string) uint64 {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s %d", worker, partition)
		x := h.Sum64() // whose last bytes differ alone differ little in its upper bits
		x ^= x >> 33
		x *= 0xff51afd7ed558ccd
		return x ^ x>>33
	}
	if len(workers) == 0 {
		return ""
	}
	return slices.MaxFunc(workers, func(a, b string) int {
		return cmp.Or(cmp.Compare(weight(a), weight(b)), strings.Compare(a, b))
	})
}

// pull takes one partition's documents until ctx ends.
func (w *worker) pull(ctx context.Context, partition int) {
	for ctx.Err() == nil {
		if err := w.pullOnce(ctx, partition); err != nil && ctx.Err() == nil {
			w.in.log.Warn("cannot pull; trying again", "partition", partition, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoffMin):
		}
	}
}

func (w *worker) pullOnce(ctx context.Context, partition int) error {
	bound, cancel := context.WithTimeout(ctx, adminWait)
	defer cancel()
	prefix := parted + "." + strconv.Itoa(partition) + "."
	c, err := w.stream.CreateOrUpdateConsumer(bound, jetstream.ConsumerConfig{
		Durable: fmt.Sprintf("p%d", partition), FilterSubject: prefix + ">", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: ackWait, MaxAckPending: ackMost, MaxDeliver: -1, Replicas: w.cfg.Replicas,
	})
	if err != nil {
		return err
	}
	it, err := c.Messages(jetstream.PullMaxMessages(pullAhead), jetstream.PullExpiry(ackWait),
		jetstream.PullHeartbeat(memberEvery))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, it.Stop)()
	defer it.Stop()
	for {
		m, err := it.Next()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		done := func() {
			if err := m.Ack(); err != nil {
				w.in.log.Debug("cannot acknowledge; it comes again", "error", err)
			}
		}
		if len(m.Data()) == 0 { // a retained document was cleared
			done()
			continue
		}
		topic := "pos/v1/" + topicOf(strings.TrimPrefix(m.Subject(), prefix))
		if !w.in.enter(ctx, raw{topic, m.Data(), false, time.Now(), done}) {
			return nil
		}
	}
}

// topicOf is the MQTT topic of a subject, and subjectOf back: nats-server writes a full stop in a topic as two slashes.
func topicOf(subject string) string {
	return strings.NewReplacer("//", ".", ".", "/").Replace(subject)
}

func subjectOf(topic string) string {
	return strings.NewReplacer(".", "//", "/", ".").Replace(topic)
}

// runNATS publishes acks until ctx ends. A terminal's session gets them as at most once; one that misses an ack repeats
// its documents and is told anew.
func (a *acker) runNATS(ctx context.Context, nc *nats.Conn) {
	a.each(ctx, func(k ackKey, _ report.Ack, body []byte) bool {
		return nc.Publish(subjectOf(k.to.Topic("ack")), body) == nil
	})
}
