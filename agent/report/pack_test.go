package report

import (
	"bytes"
	"compress/zlib"
	"errors"
	"hash/adler32"
	"strings"
	"testing"
)

const dictionarySum uint32 = 0x862113bc

func TestPack(t *testing.T) {
	var p Packer
	for _, s := range []string{
		`{"specversion":"1.0","type":"posdx.health.v1","data":{"evidence":[{"check":"net.wifi","subject":"wifi","status":"not-run","facts":{"reason":"absent"}}]}}`,
		`{"a":"` + strings.Repeat("中心说自己的系统有故障", 500) + `"}`, `{"x":1}`, ``,
	} {
		for range 2 { // a Packer is used again and again
			packed := p.Pack([]byte(s))
			if len(packed) > len(s) || len(s) > 100 && len(packed)*2 > len(s) {
				t.Errorf("%d bytes packed to %d", len(s), len(packed))
			}
			got, err := Unpack(packed, len(s))
			if err != nil || string(got) != s {
				t.Errorf("%.40q came back as %.40q, %v", s, got, err)
			}
		}
	}
}

// TestDictionaryStays fails when the dictionary is changed: what terminals in the field send could no longer be read.
func TestDictionaryStays(t *testing.T) {
	if sum := adler32.Checksum([]byte(dictionary)); sum != dictionarySum {
		t.Errorf("the dictionary's checksum is %#x, was %#x when it was published", sum, dictionarySum)
	}
}

func TestUnpackRefuses(t *testing.T) {
	var other bytes.Buffer
	w, _ := zlib.NewWriterLevelDict(&other, 9, []byte("another dictionary"))
	w.Write([]byte("{}"))
	w.Close()
	var p Packer
	bomb := p.Pack(bytes.Repeat([]byte(" "), 1<<20))
	for name, b := range map[string][]byte{"another dictionary": other.Bytes(), "a bomb": bomb, "cut": bomb[:len(bomb)/2], "rubbish": []byte("x\xbb rubbish")} {
		if got, err := Unpack(b, 64<<10); !errors.Is(err, ErrPacked) || got != nil {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	var p Packer
	f.Add([]byte("{}"))
	f.Add(p.Pack([]byte(dictionary[:900])))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Unpack(b, 4096)
		if (err == nil) != (got != nil || len(b) == 0) && len(b) > 0 || len(got) > max(4096, len(b)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}
