package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/fleet/access"
	"posdx/fleet/broker"
	"posdx/fleet/digest"
	"posdx/fleet/enroll"
	"posdx/fleet/ingest"
	"posdx/fleet/store"
	"posdx/fleet/web"
)

// serveConfig is what the flags of serve say.
type serveConfig struct {
	listen, webCert, webKey string
	open, oidc              string
	proxy                   bool
	rate                    web.Rate
	notify                  string
	enroll                  bool
	collector, collectorKey string
	data, store             string
	limits                  store.Limits
	terminals               int
	inventory, advisoryKey  string
	sunsets, sbom           string
	mqtt                    broker.Config
	ingest                  ingest.Config
}

func runServe(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "serve", "[OPTIONS]",
		"接收终端通过 MQTT 上报的内容，保存并显示。不带选项时全部在本机运行：自带的消息服务器、SQLite 数据库，以及只有本机能打开的网页。第一次启动会输出一个链接，用来建立第一个账户；以后用 posdx-fleet account 添加。",
		"Takes in what terminals report over MQTT, keeps it and shows it. With no options it runs whole on this machine: its own broker, a SQLite store, and pages that only this machine can open. The first start prints a link that makes the first account; posdx-fleet account makes more.",
		"posdx-fleet serve\nposdx-fleet serve --broker ssl://mqtt.example.com --store postgres://db/fleet")
	var c serveConfig
	f.StringVar(&c.listen, "listen", "127.0.0.1:8080", "网页的`地址`；不是本机回环时需要 --web-cert 和 --web-key\n`ADDRESS` of the pages; other than loopback needs --web-cert and --web-key")
	f.StringVar(&c.open, "open", "", "不用登录：谁打开网页都是这个`角色`（viewer technician operator admin）；只限本机回环\nnobody signs in: whoever reaches the pages has this `ROLE` (viewer technician operator admin); on loopback only")
	f.StringVar(&c.oidc, "oidc", "", "TOML `FILE`：issuer、client_id、client_secret、redirect、name、role_claim；还可以用这个 OpenID 提供方登录\nTOML `FILE`: issuer, client_id, client_secret, redirect, name, role_claim; people may sign in at this OpenID provider too")
	f.BoolVar(&c.proxy, "behind-proxy", false, "本机有代理为网页处理 TLS：cookie 只用于 https，来访地址取自它的 X-Forwarded-For\na proxy on this machine ends TLS for the pages: cookies are for https only, and addresses are taken from its X-Forwarded-For")
	f.Float64Var(&c.rate.Second, "rate", web.DefaultRate, "一个读者每秒最多`多少`次请求，可短时突发；读者指一次登录、一个令牌，没有登录的则指一个地址；0 表示不限\n"+
		"requests a second that one reader may make, `N`, in bursts more; a reader is a session, a token, or an address that nobody signed in from; 0: no limit")
	f.IntVar(&c.rate.Files, "exports", web.DefaultFiles, "一个读者最多同时导出`多少`个文件\nexports that one reader may have running at one time, `N`")
	f.StringVar(&c.webCert, "web-cert", "", "网页证书 `FILE`（PEM），用于 https\n`FILE` with the certificate of the pages (PEM), for https")
	f.StringVar(&c.webKey, "web-key", "", "其密钥 `FILE`\n`FILE` with its key")
	f.BoolVar(&c.enroll, "enroll", false, "签发终端证书（令牌由 posdx-fleet enroll 生成）；内置消息服务器随即接受持有这种证书的终端，并需要 --mqtt-cert\nissue terminals' certificates (posdx-fleet enroll makes their tokens); the embedded broker then takes terminals with such certificates, and needs --mqtt-cert")
	f.StringVar(&c.collector, "otlp", "", "每分钟接收指标的 OpenTelemetry 采集器 `URL`，例如 https://collector:4318；事件由 --notify 送去\n`URL` of an OpenTelemetry collector that gets the metrics every minute, such as https://collector:4318; incidents go there by --notify")
	f.StringVar(&c.collectorKey, "otlp-token-file", "", "它要求的令牌 `FILE`\n`FILE` with the token that it wants")
	f.StringVar(&c.notify, "notify", "", "TOML `FILE`：事件通知谁，可用 Alertmanager、webhook、企业微信、钉钉、Slack、Teams 或电子邮件；posdx-fleet notify 可以检查\nTOML `FILE`: whom to tell of incidents, by Alertmanager, webhook, WeCom, DingTalk, Slack, Teams or e-mail; posdx-fleet notify checks it")
	f.StringVar(&c.data, "data", defaultData, "存放数据库和消息服务器会话的目录 `DIR`\n`DIR` for the store and the broker's sessions")
	f.StringVar(&c.store, "store", "", "数据库地址 `ADDRESS`：sqlite:PATH 或 postgres://…（默认用 --data 里的 sqlite）；密码像 libpq 那样取自环境变量\n`ADDRESS` of the store: sqlite:PATH or postgres://… (default sqlite in --data); a password is taken from the environment as libpq does")
	f.IntVar(&c.limits.Rows, "keep-rows", store.DefaultLimits.Rows, "保存多少条诊断，`N`\nhow many diagnoses are kept, `N`")
	f.IntVar(&c.terminals, "max-terminals", store.MaxTerminals, "数据库最多容纳多少台终端，`N`\nhow many terminals the store has room for, `N`")
	days := f.Int("keep-days", int(store.DefaultLimits.Age.Hours()/24), "诊断保存多少`天`\nhow long diagnoses are kept, `DAYS`")
	f.StringVar(&c.inventory, "inventory", "", inventoryUsage())
	f.StringVar(&c.sunsets, "sunsets", "", "CSV `FILE`：carrier、tech（2g 3g 4g 5g）、date，即各网络何时停用，供网页预警；carrier 空着表示全部\nCSV `FILE`: carrier, tech (2g 3g 4g 5g), date: when networks are switched off, for the pages' radar; an empty carrier is all")
	f.StringVar(&c.sbom, "sbom", "", "软件成分清单的目录 `DIR`：CycloneDX 文档（JSON），终端软件每个版本一份，供版本页使用\n`DIR` with what programs are made of: CycloneDX documents (JSON), one for each version of a terminal's software, for the page of versions")
	f.StringVar(&c.advisoryKey, "advisory-key", "", "签署通告的密钥 `FILE`，由 posdx-fleet advisory-key 生成；配了 broker.advisory_keys 的终端不理会别的通告\n`FILE` with the key that signs advisories, from posdx-fleet advisory-key; terminals with broker.advisory_keys heed no others")
	f.StringVar(&c.ingest.URL, "broker", "embedded", "消息服务器的 `URL`：tcp://host:1883、ssl://host:8883，或 embedded 即内置\n`URL` of the broker: tcp://host:1883, ssl://host:8883, or embedded")
	brokerFlags(f, &c.ingest)
	f.BoolVar(&c.ingest.View, "view", false, "不接收文档：由 posdx-fleet ingest 接收，共用一个 PostgreSQL\ntake no documents in: posdx-fleet ingest does, on the same PostgreSQL")
	f.StringVar(&c.mqtt.Listen, "mqtt-listen", "127.0.0.1:1883", "内置消息服务器的`地址`；不是本机回环时需要 --mqtt-cert，以及 --mqtt-users 或 --mqtt-ca\n`ADDRESS` of the embedded broker; other than loopback needs --mqtt-cert and --mqtt-users or --mqtt-ca")
	f.StringVar(&c.mqtt.CertFile, "mqtt-cert", "", "内置消息服务器的证书 `FILE`（PEM），用于 TLS\n`FILE` with the embedded broker's certificate (PEM), for TLS")
	f.StringVar(&c.mqtt.KeyFile, "mqtt-key", "", "其密钥 `FILE`\n`FILE` with its key")
	f.StringVar(&c.mqtt.CAFile, "mqtt-ca", "", "终端证书的 CA `FILE`（PEM）：每台终端都要出示证书，其 CN 就是终端名\n`FILE` with the CA of the terminals' certificates (PEM): each must show one, and its common name is the terminal")
	f.StringVar(&c.mqtt.CRLFile, "mqtt-crl", "", "这个 CA 吊销了的证书 `FILE`（CRL，PEM 或 DER）；有变化就重新读取\n`FILE` with the certificates that this CA has revoked (CRL, PEM or DER); read again when it changes")
	f.StringVar(&c.mqtt.UsersFile, "mqtt-users", "", "每行一台终端及其密码的 `FILE`，用冒号分开；密码可以是 bcrypt 散列值\n`FILE` with a terminal and its password on each line, parted by a colon; passwords may be bcrypt hashes")
	f.IntVar(&c.mqtt.Sessions, "mqtt-sessions", broker.DefaultSessions,
		fmt.Sprintf("内置消息服务器最多接受 `N` 个会话（不超过 %[1]d），再多就拒绝\nsessions that the embedded broker takes, `N`, at most %[1]d; it refuses more", broker.MaxSessions))
	log := logger(s, f)
	if _, code, ok := parse(s, f, args, 0); !ok {
		return code
	}
	c.limits.Age = time.Duration(*days) * 24 * time.Hour
	if err := serve(ctx, c, log()); err != nil {
		return failed(s, "serve", err)
	}
	return exitOK
}

// brokerFlags are the flags that say how to reach a broker of one's own.
func brokerFlags(f *flag.FlagSet, c *ingest.Config) {
	f.StringVar(&c.ClientID, "client-id", "", "MQTT 客户端 `ID`，各进程不同；进程不在时消息服务器替它保留会话（默认为 --data 生成一个）\n"+
		"MQTT client `ID`, another for each process; the broker keeps its session while that is away (default: one made for --data)")
	f.StringVar(&c.Share, "share", "", "消息服务器把文档分给这一`组`工作进程（$share/GROUP/…）；它们要共用一个 PostgreSQL\n"+
		"`GROUP` of workers that the broker shares documents among ($share/GROUP/…); give all of them one PostgreSQL")
	f.StringVar(&c.CAFile, "ca", "", "消息服务器或集群的 CA `FILE`（PEM）；默认用系统的\n"+
		"`FILE` with the CA of broker or cluster (PEM); the system's by default")
	f.StringVar(&c.CertFile, "cert", "", "客户端证书 `FILE`（PEM）\n`FILE` with the client certificate (PEM)")
	f.StringVar(&c.KeyFile, "key", "", "其密钥 `FILE`\n`FILE` with its key")
	f.StringVar(&c.ServerName, "server-name", "", "消息服务器证书里的`名字`，与 URL 里的不同时填\n"+
		"`NAME` in the broker's certificate, if not the URL's")
	f.StringVar(&c.User, "user", "", "MQTT 用户`名`\nMQTT user `NAME`")
	f.StringVar(&c.PassFile, "password-file", "", "存放 MQTT 密码的 `FILE`\n`FILE` with the MQTT password")
}

// logger gives a command --verbose, and the log that it asks for once the flags are parsed.
func logger(s stdio, f *flag.FlagSet) func() *slog.Logger {
	verbose := f.Bool("verbose", false, "在标准错误上多说一些\nsay more on stderr")
	return func() *slog.Logger {
		level := slog.LevelInfo
		if *verbose {
			level = slog.LevelDebug
		}
		return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
	}
}

// inventoryUsage is the help of --inventory.
func inventoryUsage() string {
	columns := strings.Join(report.Dimensions, " ")
	return "代替 posdx-fleet inventory import 导入内容的 CSV `FILE`：estate、terminal，以及 " + columns + " 中的任意几列；优先于终端自己的标签，有变化或收到 SIGHUP 时重新读取\n" +
		"CSV `FILE` instead of what posdx-fleet inventory import took in: estate, terminal and any of " + columns + "; it says over a terminal's own labels, and is read again when it changes or on SIGHUP"
}

// knowsTerminals tells whether the embedded broker goes by the certificates that this fleet issues.
func (c serveConfig) knowsTerminals() bool {
	return c.enroll && c.mqtt.CAFile == "" && c.mqtt.CertFile != ""
}

// brokerMeant refuses what would take nothing in without a word, or try for ever.
func (c serveConfig) brokerMeant() error {
	switch embedded := c.ingest.URL == "embedded"; {
	case c.ingest.View && embedded:
		return errors.New("--view: posdx-fleet ingest takes in from a broker of its own; name that one with --broker")
	case c.ingest.View && !strings.HasPrefix(c.store, "postgres"):
		return errors.New("--view: shows what posdx-fleet ingest keeps; give its --store postgres://…")
	case c.ingest.Share != "" && embedded:
		return errors.New("--share: the embedded broker shares documents among nobody; give --broker, or leave --share out")
	case embedded:
		m := c.mqtt
		if c.knowsTerminals() {
			m.Authority = new(enroll.Authority)
		}
		return cmp.Or(broker.CheckID(c.ingest.ClientID), m.Check())
	}
	return c.ingest.Check()
}

// safe refuses flags that would give strangers access, and returns the role of everybody who reaches an open site: none
// if people sign in.
func (c serveConfig) safe() (web.Role, error) {
	if (c.webCert == "") != (c.webKey == "") {
		return 0, errors.New("--web-cert and --web-key belong together")
	}
	if !loopback(c.listen) {
		switch {
		case c.open != "":
			return 0, fmt.Errorf("--listen %s with --open: anyone who reaches this address could read the fleet; leave --open out, so that people sign in, or listen on 127.0.0.1", c.listen)
		case c.webCert == "":
			return 0, fmt.Errorf("--listen %s: passwords would cross the network in the clear; give a certificate (--web-cert, --web-key), or listen on 127.0.0.1 and let a proxy on this machine end TLS (--behind-proxy)", c.listen)
		}
	}
	if c.open == "" {
		return 0, nil
	}
	if c.proxy {
		return 0, fmt.Errorf("--open %s with --behind-proxy: whoever reaches the proxy would have that role; "+
			"leave --open out, so that people sign in", c.open)
	}
	r, err := access.ParseRole(c.open)
	if err != nil {
		return 0, fmt.Errorf("--open: %w", err)
	}
	return web.Role(r), nil
}

// minToken keeps a token from being guessed.
const minToken = 16

func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < minToken {
		return "", fmt.Errorf("read token %s: want at least %d characters", file, minToken)
	}
	return token, nil
}

// readAdvisoryKey reads the private key that posdx-fleet advisory-key made.
func readAdvisoryKey(file string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read advisory key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("read advisory key %s: no PEM block in it; posdx-fleet advisory-key makes one", file)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read advisory key %s: %w", file, err)
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read advisory key %s: not an ed25519 key", file)
	}
	return key, nil
}

func readSunsets(file string) ([]digest.Sunset, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read sunsets: %w", err)
	}
	defer f.Close()
	list, err := digest.ReadSunsets(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list, nil
}

// loopback tells whether only this machine reaches an address.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// where is the store's address without what may be secret.
func where(address string) string {
	if strings.HasPrefix(address, "sqlite:") {
		return address
	}
	return "postgres"
}
