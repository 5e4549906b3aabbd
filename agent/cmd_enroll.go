package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"posdx/agent/enroll"
	"posdx/agent/internal/atomicfile"
	"posdx/agent/internal/say"
	"posdx/agent/internal/stamp"
	"time"
)

// maxToken bounds what is read as a token.
const maxToken = 4096

func runEnroll(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "enroll", "--url URL [--ca FILE] [--out FILE] [--force]",
		"用一次性令牌（posdx-fleet enroll token）向管理平台领取本机的第一张证书，并输出要写进配置的几行。令牌从标准输入读取。密钥和证书在同一个文件里，以后由守护进程自动更新。\n退出码：0 已领取；1 没有领到；2 用法不对。",
		"Gets this terminal's first certificate from the fleet, with a token that is good for once (posdx-fleet enroll token), and prints the lines for its configuration. The token is read from stdin. Key and certificate lie in one file; the daemon renews them by itself.\nExit codes: 0 it is there, 1 it is not, 2 usage.",
		"printf 'posdx_enroll_…' | posdx enroll --url https://fleet.example.com")
	at := f.String("url", "", "管理平台网页的地址 `URL`，https://host:port\n`URL` of the fleet's pages, https://host:port")
	ca := f.String("ca", "", "管理平台网页的 CA，PEM `FILE`；默认用系统的\n`FILE` with the CA of the fleet's pages (PEM); the system's by default")
	out := f.String("out", "/var/lib/posdx/fleet.pem", "写到这个 `FILE`；守护进程要能替换它\n`FILE` to write; the daemon must be able to replace it")
	force := f.Bool("force", false, "替换已有的证书\nreplace a certificate that is there")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) != 0 || *at == "" {
		misuse(s, f, words, 0)
		return exitUsage
	}
	fail := func(err error) int {
		s.fail("enroll", err)
		return exitFailed
	}
	if _, err := enroll.CheckURL(*at); err != nil {
		s.fail("enroll", say.New("field-why", "--url", err))
		return exitUsage
	}
	if _, err := os.Stat(*out); err == nil && !*force {
		return fail(say.New("enroll-there", *out))
	}
	token, err := io.ReadAll(io.LimitReader(s.in, maxToken))
	if err != nil {
		return fail(say.New("enroll-token", err))
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Time: func() time.Time {
		if now := time.Now(); now.After(stamp.Floor) {
			return now
		}
		return stamp.Floor // a clock that stands in 1970
	}}
	if *ca != "" {
		pem, err := atomicfile.Read(*ca, 256<<10)
		if err != nil {
			return fail(say.New("enroll-ca", err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fail(say.New("enroll-no-ca", *ca))
		}
	}
	key, r, err := enroll.New("posdx")
	if err != nil {
		return fail(err)
	}
	if r.Token = strings.TrimSpace(string(token)); r.Token == "" {
		return fail(say.New("enroll-no-token"))
	}
	a, err := enroll.Asker{URL: *at, TLS: config}.Ask(ctx, r)
	if err != nil {
		return fail(err)
	}
	pair, err := enroll.Pair(key, a.Chain)
	if err != nil {
		return fail(err)
	}
	if err := atomicfile.Replace(*out, pair); err != nil {
		return fail(say.New("enroll-keep", err))
	}
	// The daemon, which has the folder, replaces it when it renews.
	if info, err := os.Stat(filepath.Dir(*out)); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
			if err := os.Chown(*out, int(st.Uid), int(st.Gid)); err != nil {
				return fail(say.New("enroll-give", *out, err))
			}
		}
	}
	c, err := tls.X509KeyPair(pair, pair)
	if err != nil {
		return fail(err)
	}
	fmt.Fprintf(s.out, "# %s of estate %s, until %s\n[broker]\ncert = %q\nkey = %q\nrenew = %q\n",
		c.Leaf.Subject.CommonName, strings.Join(c.Leaf.Subject.OrganizationalUnit, " "),
		c.Leaf.NotAfter.Format(time.DateOnly), *out, *out, *at)
	return exitOK
}
