package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"posdx/firmware-build/lab/world"
)

// appTimeout is the payment application's own patience; a real one has 60 s, which nobody wants to watch.
const appTimeout = 4 * time.Second

// How a payment application tells codes.
const (
	tellsHook   = "hook"
	tellsNobody = "wire" // and its connections are plain
)

// dayOld is how much older the order age makes a sign-in.
const dayOld = 20 * time.Hour

// serveApp is the payment application, a process of its own inside the terminal: it takes one word per line, signin,
// signin-auto, age, sell, sell-any or scan, and answers with an Outcome as one line of JSON.
func serveApp(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("want the lab's folder, a language and how codes are told")
	}
	p := paths{args[0]}
	pem, err := os.ReadFile(p.in("ca.pem"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	a := &world.App{
		Terminal: terminalID, Merchant: merchantID, TPDU: tpdu, Version: appVersion, Lang: args[1], Timeout: appTimeout,
		Host: fmt.Sprintf("%s:%d", hostName, hostPort), TLS: &tls.Config{RootCAs: roots, ServerName: hostName,
			MinVersion: tls.VersionTLS12},
		Wallet: fmt.Sprintf("%s:%d", walletName, walletPort), Resolver: world.ResolverIP + ":53",
		Reader: p.reader(), Records: p.data(), LogFile: p.paylog(), GB18030: true, Hook: p.hook(),
	}
	if args[2] == tellsNobody {
		a.TLS, a.Hook = nil, ""
	}
	answers := json.NewEncoder(out)
	for s := bufio.NewScanner(in); s.Scan(); {
		var o world.Outcome
		switch s.Text() {
		case "signin":
			o = a.SignIn(ctx, false)
		case "signin-auto":
			o = a.SignIn(ctx, true)
		case "age":
			a.Age(dayOld)
		case "sell":
			o = a.Sell(ctx, false)
		case "sell-any":
			o = a.Sell(ctx, true)
		case "scan":
			o = a.Scan(ctx)
		default:
			return fmt.Errorf("no command %q", s.Text())
		}
		if err := answers.Encode(o); err != nil {
			return err
		}
	}
	return nil
}
