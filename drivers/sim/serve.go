package sim

import (
	"context"
	"io"
)

// listen gives what comes on a line to take, until the line or the context ends, or take fails.
func listen(ctx context.Context, rw io.ReadWriteCloser, take func([]byte) error) error {
	defer context.AfterFunc(ctx, func() { rw.Close() })()
	in := make([]byte, 256)
	for {
		n, err := rw.Read(in)
		if err == nil {
			err = take(in[:n])
		}
		if err != nil {
			return err
		}
	}
}

// serve writes what a device answers to each byte, until the line or the context ends.
func serve(ctx context.Context, rw io.ReadWriteCloser, answer func(byte) []byte) error {
	return listen(ctx, rw, func(b []byte) error {
		for _, c := range b {
			if out := answer(c); len(out) > 0 {
				if _, err := rw.Write(out); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
