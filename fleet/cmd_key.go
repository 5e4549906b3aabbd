package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"posdx/fleet/durable"
)

func runAdvisoryKey(_ context.Context, s stdio, args []string) int {
	f := flags(s, "advisory-key", "FILE",
		"生成签署通告的密钥，或读取已有的，并输出它的公钥：写进终端配置 broker.advisory_keys 的那一行。已有的密钥不会被替换。",
		"Makes a key that signs advisories, or reads one that is there, and prints its public half: the line for broker.advisory_keys in the terminals' configuration. A key that is there is never replaced.",
		"posdx-fleet advisory-key advisory.key\nposdx-fleet serve --advisory-key advisory.key")
	words, code, ok := parse(s, f, args, 1)
	if !ok {
		return code
	}
	key, err := readAdvisoryKey(words[0])
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeAdvisoryKey(words[0])
	}
	if err != nil {
		return failed(s, "advisory-key", err)
	}
	fmt.Fprintln(s.out, base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
	return exitOK
}

func makeAdvisoryKey(file string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := durable.Create(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, fmt.Errorf("keep advisory key: %w", err)
	}
	return key, nil
}
