package web

import "sync"

// maxViewers bounds the pages that are open and live at one time.
const maxViewers = 256

// A Hub tells open pages that something changed. They fetch themselves what changed, so a slow page misses nothing:
// several changes reach it as one.
type Hub struct {
	mu      sync.Mutex
	viewers map[chan struct{}]bool // guarded by mu
}

// Changed wakes every open page; it never waits.
func (h *Hub) Changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.viewers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// join returns a channel that gets a value after changes, nil if too many pages are open.
func (h *Hub) join() chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= maxViewers {
		return nil
	}
	if h.viewers == nil {
		h.viewers = map[chan struct{}]bool{}
	}
	c := make(chan struct{}, 1)
	h.viewers[c] = true
	return c
}

func (h *Hub) leave(c chan struct{}) {
	h.mu.Lock()
	delete(h.viewers, c)
	h.mu.Unlock()
}
