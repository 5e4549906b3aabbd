package uplink

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// The client library's file store panics in Publish on a full disk and syncs nothing; its memory store gives messages
// out in any order. Ours keeps nothing: what was in flight is in the outbox, and nowhere else.
func TestLibraryKeepsNothing(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("TMPDIR", dir)
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		fill(t, box, 40)
		s := newScript(t)
		n, cut, began := 0, 0, time.Now()
		s.publish = func(l *link, p *packets.PublishPacket) string {
			if time.Since(began) > 3*time.Minute {
				return ""
			}
			if n++; n%7 == 0 && cut < 5 {
				cut++
				return "cut"
			}
			l.s.take(l, p)
			return "swallow" // the window fills
		}
		r := start(t, s, box, Config{}, Handlers{})
		rest(time.Hour)
		if n, _ := r.stored(box.Epoch()); n != 40 || cut == 0 {
			t.Errorf("stored %d of 40 over %d cuts", n, cut)
		}
		r.stop()
		next := uint64(1)
		for _, e := range r.got { // what comes for the first time comes in order, whatever was in flight at a cut
			if e.Seq > next {
				t.Fatalf("%d came before %d", e.Seq, next)
			}
			next = max(next, e.Seq+1)
		}
	})
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("files were left: %v, %v", list, err)
	}
}

// A peer that reads nothing more makes the library's Publish wait for its write timeout. The loop must not wait with
// it: it answers, it stops when told to, and it gives the connection up.
func TestBrokerThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := newScript(t)
		stuck := make(chan struct{})
		s.publish = func(l *link, p *packets.PublishPacket) string {
			if l.n == 1 && strings.HasSuffix(p.TopicName, "diagnosis") {
				<-stuck
			}
			return ""
		}
		r := start(t, s, box, Config{}, Handlers{})
		rest(time.Second)
		fill(t, box, 5)
		rest(time.Second)
		answered := make(chan struct{})
		r.Ping(func() { close(answered) })
		rest(time.Second)
		select {
		case <-answered:
		default:
			t.Error("the loop waits for a line that carries nothing")
		}
		rest(stallTimeout + defaultMin*4)
		if r.connections() != 2 {
			t.Errorf("%d connections after %v, want a second", r.connections(), stallTimeout)
		}
		rest(time.Minute)
		if n := box.Stats().Records; n != 0 {
			t.Errorf("%d records left", n)
		}
		close(stuck)
		r.stop()
	})
}

// Acknowledgements that take long, on a line where round trips take half a minute, cost no second transmission; later
// ones cost some, and lose nothing.
func TestLateAcks(t *testing.T) {
	for _, c := range []struct {
		puback, fleet time.Duration
		again         bool
	}{{30 * time.Second, 50 * time.Second, false}, {40 * time.Second, 5 * time.Minute, true}} {
		synctest.Test(t, func(t *testing.T) {
			box := newBox(t)
			s := newScript(t)
			s.noFleet = true
			s.publish = func(l *link, p *packets.PublishPacket) string {
				time.AfterFunc(c.puback, func() { l.puback(p.MessageID) })
				time.AfterFunc(c.fleet, func() { l.s.confirm(l, box.Epoch()) })
				l.s.take(l, p)
				return "swallow"
			}
			r := start(t, s, box, Config{}, Handlers{})
			rest(2 * time.Minute)
			fill(t, box, defaultWindow)
			rest(10 * time.Minute)
			n, again := r.stored(box.Epoch())
			if n != defaultWindow || (again > 0) != c.again || box.Stats().Records != 0 || r.connections() != 1 {
				t.Errorf("%+v: stored %d of %d, %d again, %d left, %d connections", c, n, defaultWindow, again, box.Stats().Records, r.connections())
			}
			r.stop()
		})
	}
}

// A broker that sends everything twice, its own messages included, makes nothing happen twice.
func TestBrokerThatDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := newScript(t)
		s.publish = func(*link, *packets.PublishPacket) string { return "twice" }
		r := start(t, s, box, Config{}, Handlers{})
		fill(t, box, 20)
		rest(time.Minute)
		for range 2 {
			s.current().say(at.Topic("cmd/ping"), false, []byte(`{"id":"p1"}`))
		}
		rest(time.Second)
		if n := box.Stats().Records; n != 0 {
			t.Errorf("%d records left", n)
		}
		done, refused := 0, 0
		for _, c := range r.controls("reply/ping") {
			done += strings.Count(c.payload, `"done"`)
			refused += strings.Count(c.payload, `"refused"`)
		}
		if done != 2 || refused != 2 { // each reply came twice as well
			t.Errorf("%d done, %d refused of one command that came twice", done/2, refused/2)
		}
		r.stop()
	})
}

// The library by itself comes back ten minutes after a broker that was long away; a shop must not wait so long.
func TestComesBackSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		s.refuse = true
		r := start(t, s, newBox(t), Config{}, Handlers{})
		rest(72 * time.Hour)
		s.mu.Lock()
		s.refuse = false
		s.mu.Unlock()
		rest(time.Minute + time.Second)
		if !r.State().Connected {
			t.Errorf("not back within a minute: %+v", r.State())
		}
		r.stop()
	})
}

// A broker that forgets our subscriptions while the connection lives carries everything but the fleet's word.
func TestBrokerThatForgetsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := newScript(t)
		r := start(t, s, box, Config{}, Handlers{})
		rest(2 * time.Minute)
		s.current().hears.Store(false)
		fill(t, box, 5)
		rest(time.Hour)
		if n := box.Stats().Records; n != 0 || r.connections() != 2 {
			t.Errorf("%d records wait for a word that cannot come, %d connections", n, r.connections())
		}
		r.stop()
	})
}
