package ecr

import (
	"bytes"
	"errors"
	"testing"
)

func TestDetectFindsTheHeader(t *testing.T) {
	message := sale(t, UnionPay(), heads[2])
	for _, l := range lengthHeaders {
		stream := l.Append(nil, message)
		got, err := detect(append(bytes.Clone(stream), stream...), lengthHeaders, nil)
		if err != nil || got != l {
			t.Errorf("%v: found %v, %v", l, got, err)
		}
		for n := range stream {
			if got, err := detect(stream[:n], lengthHeaders, nil); !errors.Is(err, ErrMore) {
				t.Fatalf("%v: %d of %d bytes: %v, %v, want more", l, n, len(stream), got, err)
			}
		}
		read, err := l.Read(bytes.NewReader(stream))
		if err != nil || !bytes.Equal(read, message) {
			t.Errorf("%v: read %d bytes, %v", l, len(read), err)
		}
		if _, err := l.Read(bytes.NewReader(stream[:len(stream)-1])); err == nil {
			t.Errorf("%v: read a message cut short", l)
		}
	}
	if got, err := detect([]byte("GET / HTTP/1.1\r\nHost: pos.acquirer.example\r\n\r\n"), lengthHeaders, nil); !errors.Is(err, ErrNotISO8583) {
		t.Errorf("text: %v, %v", got, err)
	}
}

func FuzzSplit(f *testing.F) {
	for _, l := range lengthHeaders {
		f.Add(byte(l), l.Append(nil, sale(f, UnionPay(), heads[1])))
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		l := LengthHeader(kind)
		message, rest, err := l.Split(b)
		if err == nil && (len(message) < minMessage || len(message) > MaxMessage ||
			l.Size()+len(message)+l.tail()+len(rest) != len(b)) {
			t.Fatalf("%v: %d bytes gave a message of %d and a rest of %d", l, len(b), len(message), len(rest))
		}
		if err != nil && len(rest) != len(b) {
			t.Fatalf("%v: took %d bytes and said %v", l, len(b)-len(rest), err)
		}
		detect(b, lengthHeaders, nil)
	})
}
