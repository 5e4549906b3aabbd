package report

import (
	"bytes"
	"compress/zlib"
	_ "embed"
	"errors"
	"fmt"
	"io"
)

// dictionary is what documents have in common, the commonest last. Its bytes are part of the format: a stream names
// their Adler-32, and a change needs a second dictionary beside this one.
//
//go:embed dictionary.txt
var dictionary string

// Dictionary returns the preset dictionary of packed envelopes: pieces of text that documents have in common. It never
// changes. A fleet that keeps many documents packs them with it, too.
func Dictionary() []byte { return []byte(dictionary) }

// ErrPacked is the error of a payload that is neither JSON nor made by a Packer, or unpacks to too much.
var ErrPacked = errors.New("unpack: not a packed envelope")

// A Packer packs envelopes for a bearer that is paid by the byte, to about an eighth: zlib (RFC 1950) with a preset
// dictionary. The zero value is ready. It takes most of a megabyte of memory once used, and belongs to one goroutine.
type Packer struct {
	w   *zlib.Writer
	out bytes.Buffer
}

// Pack returns the packed form of an envelope, or the envelope itself where that is no larger.
func (p *Packer) Pack(envelope []byte) []byte {
	p.out.Reset()
	if p.w == nil {
		w, err := zlib.NewWriterLevelDict(&p.out, zlib.BestCompression, []byte(dictionary))
		if err != nil {
			return envelope
		}
		p.w = w
	} else {
		p.w.Reset(&p.out)
	}
	if _, err := p.w.Write(envelope); err != nil {
		return envelope
	}
	if err := p.w.Close(); err != nil || p.out.Len() >= len(envelope) {
		return envelope
	}
	return bytes.Clone(p.out.Bytes())
}

// Unpack returns the JSON of a payload as the broker gave it, packed or not. The error is ErrPacked if that would be
// more than limit bytes, or the payload is damaged.
func Unpack(payload []byte, limit int) ([]byte, error) {
	const method = 0x78 // deflate with a window of 32 kB; JSON cannot begin so
	if len(payload) == 0 || payload[0] != method {
		return payload, nil
	}
	r, err := zlib.NewReaderDict(bytes.NewReader(payload), []byte(dictionary))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrPacked, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrPacked, err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrPacked, limit)
	}
	return b, nil
}
