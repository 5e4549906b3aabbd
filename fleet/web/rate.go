package web

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"posdx/fleet/access"
	"posdx/fleet/store"
)

// A Rate bounds how much of the site one reader gets, so that none crowds out the others. Readers are told apart by
// their session or their token; who shows neither, or a wrong one, is known by the address alone. So nobody who is
// signed in is kept out by somebody else at the same address.
type Rate struct {
	Second float64 // requests a second in the long run, 0: any number; bursts may have rateBurst seconds' worth
	Files  int     // exports that run at one time, 0: any number
}

// The bounds unless the command line says otherwise. A page that is live asks at most once a second, and less often
// where answers are slow.
const (
	DefaultRate  = 20
	DefaultFiles = 3
)

const (
	rateBurst  = 6      // seconds
	maxBuckets = 50_000 // readers that are told apart at one time
	maxStreams = 32     // open pages of one reader that are live
)

// A tooMuch is the error when a reader asked for more than its part. It holds how long to wait.
type tooMuch time.Duration

func (w tooMuch) Error() string { return fmt.Sprintf("too many requests; wait %d s", w.seconds()) }

// seconds is the wait as Retry-After has it.
func (w tooMuch) seconds() int { return int(math.Ceil(max(1, time.Duration(w).Seconds()))) }

// A bucket is what one reader has left.
type bucket struct {
	asks  *rate.Limiter
	files int // exports that run
	lives int // live pages that are open
}

// buckets are those of all readers who asked lately.
type buckets struct {
	mu    sync.Mutex
	list  map[string]*bucket // guarded by mu
	swept time.Time          // guarded by mu
}

// of is a reader's bucket; mu is held. An attacker with more addresses than there is room for shares one bucket with
// everybody who comes from a new one.
func (b *buckets) of(r Rate, who string, now time.Time) *bucket {
	if l := b.list[who]; l != nil {
		return l
	}
	if len(b.list) >= maxBuckets && now.Sub(b.swept) >= time.Second {
		b.swept = now
		for k, l := range b.list {
			if l.files == 0 && l.lives == 0 && l.asks.TokensAt(now) >= float64(l.asks.Burst()) {
				delete(b.list, k)
			}
		}
	}
	if len(b.list) >= maxBuckets && strings.HasPrefix(who, byAddress) {
		if who = byAddress; b.list[who] != nil {
			return b.list[who]
		}
	}
	if b.list == nil {
		b.list = map[string]*bucket{}
	}
	l := &bucket{asks: rate.NewLimiter(rate.Limit(r.Second), max(1, int(rateBurst*r.Second)))}
	b.list[who] = l
	return l
}

// ask takes a request out of a reader's bucket, or says how long to wait until there is one.
func (b *buckets) ask(r Rate, who string, now time.Time) error {
	if r.Second <= 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	in := b.of(r, who, now).asks.ReserveN(now, 1)
	if wait := in.DelayFrom(now); wait > 0 {
		in.CancelAt(now)
		return tooMuch(wait)
	}
	return nil
}

// fileWait is what a reader is told to wait who has exports running.
const fileWait = 5 * time.Second

// begin counts something that lasts, an export or a live page, and returns what ends it.
func (b *buckets) begin(r Rate, who string, most int, of func(*bucket) *int) (end func(), err error) {
	if most <= 0 {
		return func() {}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := of(b.of(r, who, time.Now()))
	if *n >= most {
		return nil, tooMuch(fileWait)
	}
	*n++
	return func() { b.mu.Lock(); *n--; b.mu.Unlock() }, nil
}

func filesOf(l *bucket) *int { return &l.files }
func livesOf(l *bucket) *int { return &l.lives }

// byAddress begins the key of a reader of whom only the address is known.
const byAddress = "address "

// reader is what a request counts for.
func (s *Site) reader(r *http.Request, u access.User) string {
	switch {
	case s.Access == nil || u.Role == access.Nobody:
		return byAddress + access.Near(s.from(r))
	case u.Session != "":
		return "session " + u.Session
	}
	return u.Name // token:1
}

// tooMany answers a reader who asked for more than its part, and costs little: nothing is read for it.
func (s *Site) tooMany(w http.ResponseWriter, r *http.Request, wait tooMuch) {
	w.Header().Set("Retry-After", strconv.Itoa(wait.seconds()))
	if !wantsPage(r) || r.URL.Path == "/enroll" || r.URL.Path == "/renew" {
		s.failJSON(w, http.StatusTooManyRequests, fmt.Sprintf(texts["error.429.wait"].In(askedLanguage(r)), wait.seconds()))
		return
	}
	p := s.frame(r, "")
	p.Viewer = Viewer{Estates: store.Estates{}}
	s.render(w, r, http.StatusTooManyRequests, "error", struct {
		*page
		Status    int
		What, Why string
	}{p, http.StatusTooManyRequests, "", fmt.Sprintf(p.T("error.429.wait"), wait.seconds())})
}
