package store

import (
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"

	"posdx/agent/report"
)

// packedS2 begins what is packed here: a block of S2 with the documents' dictionary. Neither JSON nor a Packer's zlib
// begins so.
const packedS2 = 0x01

// maxUnpacked is more than ingest lets in.
const maxUnpacked = 1 << 20

// shrinker is the dictionary, read once.
var shrinker = sync.OnceValue(func() *s2.Dict { return s2.MakeDict(report.Dictionary(), nil) })

// Pack returns the form in which an envelope is kept: to about a quarter, in a tenth of the time that zlib takes. What
// a terminal packed itself is smaller already and stays as it came.
func Pack(payload []byte) []byte {
	if len(payload) == 0 || payload[0] != '{' {
		return payload
	}
	room := rooms.Get().(*[]byte)
	defer rooms.Put(room)
	*room = slices.Grow((*room)[:0], s2.MaxEncodedLen(len(payload)))
	block := shrinker().Encode((*room)[:cap(*room)], payload)
	if len(block) >= len(payload) {
		return payload
	}
	// A copy, or a row that waits would hold the room that the worst case needs.
	return append(append(make([]byte, 0, 1+len(block)), packedS2), block...)
}

// rooms are what Pack writes into.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

// unpack returns the envelope of what was kept, in whichever form.
func unpack(kept []byte) ([]byte, error) {
	if len(kept) == 0 || kept[0] != packedS2 {
		return report.Unpack(kept, maxUnpacked)
	}
	n, err := s2.DecodedLen(kept[1:])
	if err == nil && n > maxUnpacked {
		err = fmt.Errorf("%d bytes, want at most %d", n, maxUnpacked)
	}
	var plain []byte
	if err == nil {
		plain, err = shrinker().Decode(nil, kept[1:])
	}
	if err != nil {
		return nil, fmt.Errorf("unpack a kept document: %w", err)
	}
	return plain, nil
}
