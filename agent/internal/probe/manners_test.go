package probe

import (
	"testing"
	"time"

	"posdx/drivers/network"
)

// What only makes an answer finer stops long before what finds out whether the host is there, and the application's
// connections count as ours do.
func TestFewConnectionsToOnePlace(t *testing.T) {
	p := &place{app: map[uint16]bool{}}
	now := time.Now()
	extras := 0
	for p.may(now, true) {
		extras++
	}
	if extras != mannersExtra {
		t.Errorf("%d extras", extras)
	}
	p.watch([]network.Socket{{Local: 1}, {Local: 2}}, now)
	p.watch([]network.Socket{{Local: 1}, {Local: 2}}, now) // the same ones
	plain := 0
	for p.may(now, false) {
		plain++
	}
	if plain != mannersMost-mannersExtra-2 {
		t.Errorf("%d more", plain)
	}
	if !p.may(now.Add(2*mannersWindow), true) {
		t.Error("never again")
	}
}

// A connection of ours that fails says nothing of the application's where that one works, has just worked, or got
// through after ours had failed; and it says what it says where there is none, or one that hangs.
func TestApplicationGetsThroughWhereWeDoNot(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name        string
		socket      network.Socket
		none        bool
		works, tell bool
	}{
		{name: "no connection", none: true, tell: true},
		{name: "works", socket: network.Socket{Established: true, Received: 9, LastReceive: time.Second}, works: true},
		{name: "idle for a minute", socket: network.Socket{Established: true, Received: 9, LastReceive: time.Minute}},
		{name: "idle for an hour", socket: network.Socket{Established: true, Received: 9, LastReceive: time.Hour}, tell: true},
		{name: "nothing came over it", socket: network.Socket{Established: true, LastReceive: time.Second}, tell: true},
		{name: "hangs", socket: network.Socket{Established: true, Received: 9, LastReceive: time.Second, Repeats: 2}, tell: true},
		{name: "being opened", socket: network.Socket{Repeats: 2}, tell: true},
	} {
		p := &place{app: map[uint16]bool{}}
		var list []network.Socket
		if !c.none {
			list = []network.Socket{c.socket}
		}
		v := p.watch(list, now)
		if v.works != c.works || p.ended(network.Timeout, v, now) != c.tell {
			t.Errorf("%s: %+v, want works %v, tells %v", c.name, v, c.works, c.tell)
		}
	}
	p := &place{app: map[uint16]bool{}}
	p.ended(network.Refused, appView{}, now.Add(-time.Minute))
	p.watch([]network.Socket{{Established: true, Received: 9, LastReceive: time.Second}}, now)
	if p.ended(network.Refused, p.watch(nil, now), now) {
		t.Error("the host takes the application's port alone, and ours was taken for it")
	}
	if !p.ended(network.OK, appView{}, now) || !p.ended(network.Refused, appView{}, now) {
		t.Error("once ours got through, it counts again")
	}
}

// The class of a hello decides how a host is asked: by what a box on the way may tell it apart.
func TestFormOfTheApplicationsHello(t *testing.T) {
	for _, c := range []struct {
		size    int
		version uint16
		name    string
		want    Form
	}{
		{317, 0x0304, "acq.example", Form{Hello: network.HelloSmall, Name: "acq.example"}}, // OpenSSL 3.0
		{1531, 0x0304, "acq.example", Form{Hello: network.HelloLarge, Name: "acq.example"}},
		{210, 0x0303, "acq.example", Form{Hello: network.HelloOld, Max: 0x0303, Name: "acq.example"}},
		{95, 0x0301, "acq.example", Form{Hello: network.HelloOld, Max: 0x0301, Name: "acq.example"}},
		{110, 0x0303, "", Form{Hello: network.HelloPlain, Max: 0x0303}},
		{60, 0x0101, "", Form{Hello: network.HelloTLCP}},
	} {
		if got := FormOf(c.size, c.version, c.name); got != c.want {
			t.Errorf("%d bytes, version %#x, name %q: %+v, want %+v", c.size, c.version, c.name, got, c.want)
		}
	}
}
