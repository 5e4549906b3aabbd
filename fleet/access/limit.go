package access

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of how many tries of a password may fail within a window. For one account from one address they are few; for
// one account from all addresses they are more, since otherwise anyone could lock its owner out.
const (
	window         = 15 * time.Minute
	failsPair      = 5
	failsAddress   = 30
	failsAccount   = 100
	maxLimiterKeys = 50_000
)

// A limiter counts failed tries.
type limiter struct {
	mu    sync.Mutex
	fails map[string][]time.Time // guarded by mu; newest last
}

func (l *limiter) keys(account, source string) map[string]int {
	return map[string]int{
		"p\x00" + account + "\x00" + Near(source): failsPair,
		"s\x00" + Near(source):                    failsAddress,
		"a\x00" + account:                         failsAccount,
	}
}

// Near is what one attacker commands: an IPv4 address, or an IPv6 network of 64 bits.
func Near(source string) string {
	a, err := netip.ParseAddr(source)
	if err != nil || a.Unmap().Is4() {
		return source
	}
	p, _ := a.WithZone("").Prefix(64)
	return p.String()
}

// take counts a try before it is made, so that many at once are bounded too, and returns how long to wait if there were
// too many.
func (l *limiter) take(account, source string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wait time.Duration
	keys := l.keys(account, source)
	for k, most := range keys {
		list := l.fresh(k, now)
		if len(list) >= most {
			wait = max(wait, window-now.Sub(list[len(list)-most]))
		}
	}
	if wait > 0 {
		return wait
	}
	if l.fails == nil {
		l.fails = map[string][]time.Time{}
	}
	if len(l.fails) > maxLimiterKeys {
		for k := range l.fails {
			if l.fresh(k, now); len(l.fails[k]) == 0 {
				delete(l.fails, k)
			}
		}
		if len(l.fails) > maxLimiterKeys {
			return window // an attack from many addresses: while it lasts no new address may sign in
		}
	}
	for k := range keys {
		l.fails[k] = append(l.fails[k], now)
	}
	return 0
}

// fresh forgets what is older than the window.
func (l *limiter) fresh(k string, now time.Time) []time.Time {
	list := l.fails[k]
	for len(list) > 0 && now.Sub(list[0]) >= window {
		list = list[1:]
	}
	if len(list) == 0 {
		delete(l.fails, k)
	} else {
		l.fails[k] = list
	}
	return list
}

// give takes a counted try back: it was right.
func (l *limiter) give(account, source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.keys(account, source) {
		if list := l.fails[k]; len(list) > 1 {
			l.fails[k] = list[:len(list)-1]
		} else {
			delete(l.fails, k)
		}
	}
}
