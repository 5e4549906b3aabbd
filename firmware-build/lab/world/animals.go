package world

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// An Animal is a TLS host, or a device in front of one, to which an ordinary client connects without trouble.
type Animal struct {
	Name   string
	Server string            // arguments of openssl s_server; empty: Serve
	Client string            // of openssl s_client, which must verify the host
	Box    func([]byte) bool // what stands before the host drops a first record for which it is false
	Serve  func(net.Conn)    // instead of openssl
	Files  string            // shell lines that make leaf.pem, leaf.key and ca.pem where they are not the usual ones
	Trust  string            // the name that is asked for; empty: none was configured
}

// usual makes a leaf signed by a CA: three shell variables say how.
const usual = `
EC="-newkey ec -pkeyopt ec_paramgen_curve:P-256"
openssl req -x509 ${CAKEY:-$EC} -nodes -keyout ca.key -out ca.pem -days 3650 -subj "/CN=Test CA" -addext basicConstraints=critical,CA:TRUE
openssl req ${KEY:-$EC} -nodes -keyout leaf.key -out leaf.csr -subj "/CN=${CN:-acq.example}"
echo "${SAN-subjectAltName=DNS:acq.example}" >ext
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 700 -${MD:-sha256} $SIG -extfile ext -out leaf.pem
`

const (
	lax    = "-cipher ALL:@SECLEVEL=0"
	rsaKey = `KEY="-newkey rsa:2048"`
)

// Animals are all of them. Each stands for a kind that exists in the field.
func Animals() []Animal {
	record := func(b []byte) int { return int(binary.BigEndian.Uint16(b[3:])) }
	// offers13 tells whether a hello offers TLS 1.3 in its supported_versions (RFC 8446, 4.2.1).
	offers13 := func(b []byte) bool {
		_, versions, ok := bytes.Cut(b, []byte{0x00, 0x2b, 0x00})
		return ok && bytes.Contains(versions[:min(len(versions), 8)], []byte{0x03, 0x04})
	}
	name := []byte("acq.example")
	return []Animal{
		{Name: "plain and good", Trust: "acq.example"},
		{Name: "name in the subject alone", Files: "SAN=", Trust: "acq.example"},
		{Name: "wildcard in the subject alone", Files: "SAN=; CN=*.example", Trust: "acq.example"},
		{Name: "address, and nobody said a name"},
		{Name: "SHA-1 chain", Files: rsaKey + "; CAKEY=$KEY; MD=sha1", Server: lax, Client: lax, Trust: "acq.example"},
		{Name: "SHA-1 chain of elliptic curves", Files: "MD=sha1", Server: lax, Client: lax, Trust: "acq.example"},
		{Name: "client use alone in the leaf", Files: `SAN="subjectAltName=DNS:acq.example
extendedKeyUsage=1.3.6.1.5.5.7.3.2"`, Client: "-purpose any", Trust: "acq.example"},
		{Name: "TLS 1.0 alone", Server: "-tls1 " + lax, Client: "-tls1 " + lax, Trust: "acq.example"},
		{Name: "TLS 1.2 alone", Server: "-tls1_2", Trust: "acq.example"},
		{Name: "TLS 1.3 alone", Server: "-tls1_3", Trust: "acq.example"},
		{Name: "RSA key exchange alone", Files: rsaKey, Server: "-tls1_2 -cipher AES128-SHA", Client: "-tls1_2 -cipher AES128-SHA", Trust: "acq.example"},
		{Name: "DHE alone", Files: rsaKey, Server: "-tls1_2 -cipher DHE-RSA-AES256-SHA256:DHE-RSA-AES256-SHA", Trust: "acq.example"},
		{Name: "PSK alone", Server: "-tls1_2 -nocert -psk 0102030405060708 -cipher PSK", Client: "-tls1_2 -psk 0102030405060708 -cipher PSK", Trust: "acq.example"},
		{Name: "Brainpool key", Files: `KEY="-newkey ec -pkeyopt ec_paramgen_curve:brainpoolP256r1"`, Server: "-curves brainpoolP256r1:P-256", Client: "-curves brainpoolP256r1:P-256", Trust: "acq.example"},
		{Name: "RSA-PSS key", Files: `KEY="-newkey rsa-pss"`, Trust: "acq.example"},
		{Name: "RSA-PSS signature", Files: `CAKEY="-newkey rsa:2048"; SIG="-sigopt rsa_padding_mode:pss"`, Trust: "acq.example"},
		{Name: "RSA of 1024 bits", Files: `KEY="-newkey rsa:1024"`, Server: lax, Client: lax, Trust: "acq.example"},
		{Name: "wants a certificate, 1.2", Server: "-tls1_2 -Verify 1", Trust: "acq.example"},
		{Name: "wants a certificate, 1.3", Server: "-tls1_3 -Verify 1", Trust: "acq.example"},
		{Name: "critical extension that nobody here knows", Files: `SAN="subjectAltName=DNS:acq.example
1.2.3.4.5.6=critical,ASN1:NULL"`, Client: "-ignore_critical", Trust: "acq.example"},
		{Name: "a line that swallows a hello over 1400 bytes", Box: func(b []byte) bool { return record(b) < 1400 }, Trust: "acq.example"},
		{Name: "a box that drops names", Box: func(b []byte) bool { return !bytes.Contains(b, name) }, Client: "-noservername", Trust: "acq.example"},
		{Name: "a box that drops TLS 1.3", Box: func(b []byte) bool { return !offers13(b) }, Client: "-tls1_2", Trust: "acq.example"},
		{Name: "a box that takes TLS 1.2 with a name", Box: func(b []byte) bool { return bytes.Contains(b, name) && !offers13(b) }, Server: "-reset", Client: "-tls1_2", Trust: "acq.example"},
		{Name: "TLCP, alert to others", Serve: tlcpHost(true), Trust: "acq.example"},
		{Name: "TLCP, silent to others", Serve: tlcpHost(false), Trust: "acq.example"},
	}
}

// tlcpHost answers the national protocol alone: GB/T 38636-2020, version 0x0101.
func tlcpHost(alerts bool) func(net.Conn) {
	return func(c net.Conn) {
		var head [5]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint16(head[3:]))
		_, _ = io.ReadFull(c, body)
		switch {
		case head[1] == 1 && head[2] == 1 && len(body) > 6 && body[4] == 1 && body[5] == 1:
			_, _ = c.Write([]byte{22, 1, 1, 0, 4, 2, 0, 0, 0})
		case alerts:
			_, _ = c.Write([]byte{21, 1, 1, 0, 2, 2, 70})
			return
		}
		_, _ = io.Copy(io.Discard, c)
	}
}

// Certificates makes the files of a host.
func (a Animal) Certificates(ctx context.Context, dir string) error {
	if a.Serve != nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", "set -e\n"+a.Files+"\n"+usual)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("certificates of %s: %w: %s", a.Name, err, out)
	}
	return nil
}

// Prove connects to the host with openssl, which shows that an ordinary client can.
func (a Animal) Prove(ctx context.Context, dir, addr string) error {
	if a.Serve != nil || strings.Contains(a.Client, "-psk") {
		return nil // nothing here speaks to it
	}
	client := a.Client
	if client != "-noservername" {
		client += " -servername acq.example"
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("echo | openssl s_client -connect %s -CAfile ca.pem %s 2>&1", addr, client))
	cmd.Dir = dir
	out, err := cmd.Output()
	if !bytes.Contains(out, []byte("Verify return code: 0")) && !bytes.Contains(out, []byte("Verification: OK")) {
		return fmt.Errorf("openssl does not get through to %s, so this proves nothing: %w: %s", a.Name, err, out)
	}
	return nil
}

// Open starts the host, and returns the function that serves a connection to it, through the device in front of it.
func (a Animal) Open(ctx context.Context, dir string) (serve func(net.Conn), stop func(), err error) {
	if a.Serve != nil {
		return a.Serve, func() {}, nil
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	behind := free.Addr().String()
	free.Close()
	reset := strings.Contains(a.Server, "-reset")
	args := []string{"s_server", "-accept", behind, "-quiet"}
	if !strings.Contains(a.Server, "-nocert") {
		args = append(args, "-cert", "leaf.pem", "-key", "leaf.key")
	}
	args = append(args, strings.Fields(strings.ReplaceAll(a.Server, "-reset", ""))...)
	cmd := exec.CommandContext(ctx, "openssl", args...)
	cmd.Dir = dir
	in, err := cmd.StdinPipe() // s_server ends with its input
	if err != nil {
		return nil, nil, err
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() { in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", behind)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			stop()
			b, _ := os.ReadFile(log.Name())
			return nil, nil, fmt.Errorf("the host %s never came up: %s", a.Name, b)
		}
	}
	return func(c net.Conn) { boxed(c, behind, a.Box, reset) }, stop, nil
}

// boxed carries a connection to the host behind, unless the box swallows its first record, or resets it.
func boxed(c net.Conn, behind string, passes func([]byte) bool, reset bool) {
	b, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	defer b.Close()
	if passes != nil {
		first := make([]byte, 5)
		if _, err := io.ReadFull(c, first); err != nil {
			return
		}
		first = append(first, make([]byte, binary.BigEndian.Uint16(first[3:]))...)
		if _, err := io.ReadFull(c, first[5:]); err != nil {
			return
		}
		if !passes(first) {
			if !reset {
				_, _ = io.Copy(io.Discard, c)
			}
			return
		}
		_, _ = b.Write(first)
	}
	go func() { _, _ = io.Copy(b, c); b.Close() }()
	_, _ = io.Copy(c, b)
}
