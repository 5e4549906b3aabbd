package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"posdx/codes"
	"posdx/fleet/ingest"
	"posdx/fleet/metrics"
	"posdx/fleet/store"
)

// ingestConfig is what the flags of ingest say.
type ingestConfig struct {
	store, data, metrics string
	terminals            int
	mqtt                 ingest.Config
	nats                 ingest.NATSConfig
}

func runIngest(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "ingest", "--store postgres://… (--nats URL | --broker URL) [OPTIONS]",
		"只接收终端上报的内容并保存：共用一个 PostgreSQL 的几个工作进程之一。用 NATS 集群时，每个进程各取一部分终端；用别的消息服务器时，以 --share 分担。posdx-fleet serve --view 显示它们保存的内容。",
		"Takes in what terminals report and keeps it, and nothing else: one of several workers on one PostgreSQL. Behind a NATS cluster each worker pulls its part of the terminals; behind another broker they share by --share. posdx-fleet serve --view shows what they keep.",
		"posdx-fleet ingest --nats nats://n1:4222,nats://n2:4222 --store postgres://db\n"+
			"posdx-fleet ingest --broker ssl://mq:8883 --share w --store postgres://db")
	var c ingestConfig
	f.StringVar(&c.store, "store", "", "数据库地址 `ADDRESS`，postgres://…；密码像 libpq 那样取自环境变量\n`ADDRESS` of the store, postgres://…; a password is taken from the environment as libpq does")
	f.StringVar(&c.metrics, "metrics", "", "Prometheus 在这个`地址`的 /metrics 读取计数，如 127.0.0.1:9464（只限本机回环）\n`ADDRESS` where Prometheus finds the counters under /metrics, such as 127.0.0.1:9464 (loopback only)")
	f.StringVar(&c.nats.URL, "nats", "", "终端所用 MQTT 监听所在的 NATS 集群 `URL`；几个节点用逗号分开\n`URL` of the NATS cluster whose MQTT listeners the terminals use; several nodes parted by commas")
	f.StringVar(&c.nats.Creds, "nats-creds", "", "终端所在 NATS 账户的凭据 `FILE`\n`FILE` with the credentials of the NATS account that the terminals are in")
	f.IntVar(&c.nats.Partitions, "partitions", ingest.DefaultPartitions, "把终端分成 `N` 份；各进程相同，且不少于将来的进程数\ninto how many parts the terminals go, `N`; the same for all workers, and not fewer than there will be")
	f.IntVar(&c.nats.Replicas, "replicas", 3, "保存好之前每份文档放在 `N` 个节点上\nhow many nodes hold each document until it is kept, `N`")
	f.IntVar(&c.terminals, "max-terminals", store.MaxTerminals, "数据库最多容纳多少台终端，`N`\nhow many terminals the store has room for, `N`")
	gigabytes := f.Int("stream-gb", 10, "集群里最多积压多少 `GB`；再多就留在终端上\nhow much waits in the cluster, `GB`; beyond, the terminals keep what they have")
	f.StringVar(&c.mqtt.URL, "broker", "", "改用 MQTT 消息服务器的 `URL`：tcp://host:1883 或 ssl://host:8883\n`URL` of an MQTT broker instead: tcp://host:1883 or ssl://host:8883")
	brokerFlags(f, &c.mqtt)
	f.StringVar(&c.data, "data", "", "重启后仍保留客户端 ID 的目录 `DIR`；它和 --client-id 都没有时，会话随进程结束\n`DIR` that keeps the client ID between starts; without it and --client-id the session ends with the process")
	log := logger(s, f)
	if _, code, ok := parse(s, f, args, 0); !ok {
		return code
	}
	c.nats.MaxBytes = int64(*gigabytes) << 30
	if err := c.check(); err != nil {
		return failed(s, "ingest", mistake{err})
	}
	if err := takeIn(ctx, c, log()); err != nil {
		return failed(s, "ingest", err)
	}
	return exitOK
}

func (c ingestConfig) check() error {
	switch {
	case c.store == "":
		return errors.New("--store: where are the documents kept? several workers share one postgres://…")
	case (c.nats.URL == "") == (c.mqtt.URL == ""):
		return errors.New("want one of --nats and --broker")
	case c.mqtt.URL == "embedded":
		return errors.New("--broker embedded: the embedded broker is posdx-fleet serve's, which takes in itself")
	case c.nats.URL != "" && (c.mqtt.Share+c.mqtt.ClientID+c.mqtt.User+c.mqtt.PassFile+c.mqtt.ServerName) != "":
		return errors.New("--share, --client-id, --user, --password-file and --server-name are of --broker; " +
			"a NATS cluster takes its user from --nats or --nats-creds")
	case c.terminals < 1:
		return errors.New("--max-terminals: want 1 or more")
	case c.nats.Partitions < 1 || c.nats.Partitions > 256:
		return errors.New("--partitions: want 1 to 256")
	case c.nats.Replicas < 1 || c.nats.Replicas > 5:
		return errors.New("--replicas: want 1 to 5, at most as many as there are nodes")
	case c.nats.MaxBytes < 1<<30:
		return errors.New("--stream-gb: want 1 or more")
	case c.metrics != "" && !loopback(c.metrics):
		return fmt.Errorf("--metrics %s: want an address on loopback; nobody signs in to the counters", c.metrics)
	}
	return nil
}

// takeIn takes documents in until ctx ends or the store cannot be opened.
func takeIn(ctx context.Context, c ingestConfig, log *slog.Logger) error {
	c.nats.CAFile, c.nats.CertFile, c.nats.KeyFile = c.mqtt.CAFile, c.mqtt.CertFile, c.mqtt.KeyFile
	check := c.mqtt.Check
	if c.nats.URL != "" {
		check = c.nats.Check
	}
	if err := check(); err != nil {
		return mistake{err}
	}
	claim, err := store.ClaimStore(c.store)
	if err != nil {
		return err
	}
	defer claim.Free()
	db, err := store.Open(ctx, c.store)
	if err != nil {
		return err
	}
	defer db.Close()
	db.Admit(c.terminals)
	registry := metrics.Registry(&metrics.Fleet{Store: db, Log: log}, version, codes.Builtin().Version)
	m := ingest.NewMetrics(registry)
	changed := func() {}
	var in *ingest.Ingest
	if c.nats.URL != "" {
		host, _ := os.Hostname()
		c.nats.Worker = strings.ToLower(cmp.Or(strings.Map(keyLetter, host), "worker") + "-" + rand.Text()[:8])
		in = ingest.NewNATS(c.nats, db, m, log, changed)
	} else {
		if c.mqtt.ClientID == "" {
			if c.data != "" {
				if err := os.MkdirAll(c.data, 0o700); err != nil {
					return fmt.Errorf("make data directory: %w", err)
				}
				c.mqtt.ClientID, err = clientID(c.data)
				if err != nil {
					return err
				}
			} else {
				c.mqtt.ClientID, c.mqtt.Clean = "posdx-fleet-"+strings.ToLower(rand.Text()[:8]), true
			}
		}
		in = ingest.New(c.mqtt, db, m, log, changed, func(string, []byte) {})
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if c.metrics != "" {
		l, err := net.Listen("tcp", c.metrics)
		if err != nil {
			return fmt.Errorf("listen for the counters: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		defer context.AfterFunc(ctx, func() { server.Close() })()
		wg.Go(func() { server.Serve(l) })
		log.Info("counters", "page", "http://"+l.Addr().String()+"/metrics")
	}
	return in.Run(ctx)
}

// keyLetter keeps what may be in the name of a worker.
func keyLetter(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
		return r
	}
	return -1
}
