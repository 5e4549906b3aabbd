package capture

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"posdx/firmware-build/lab/world"
)

// burst is fewer packets than the socket's buffer holds.
const burst = 100

// conversation is a row of packets as one connection after another sends them: connect, sale, answer, end.
func conversation(tb testing.TB, terminal, host netip.AddrPort, packets int) (list [][]byte) {
	for i := 0; len(list) < packets; i++ {
		from := netip.AddrPortFrom(terminal.Addr(), uint16(20000+i%20000))
		stan := fmt.Sprintf("%06d", i%1e6)
		ask, answer := message(tb, "0200", stan, ""), message(tb, "0210", stan, "96")
		a, b := uint32(1000), uint32(5000)
		add := func(up bool, flags byte, data []byte) {
			if up {
				list = append(list, packet(from, host, flags, a, b, data))
				a += uint32(len(data))
			} else {
				list = append(list, packet(host, from, flags, b, a, data))
				b += uint32(len(data))
			}
		}
		add(true, flagSYN, nil)
		a++
		add(false, flagSYN|flagACK, nil)
		b++
		add(true, flagACK, nil)
		add(true, flagACK, ask)
		add(false, flagACK, nil)
		add(false, flagACK, answer)
		add(true, flagACK, nil)
		add(true, flagACK|flagFIN, nil)
		a++
		add(false, flagACK|flagFIN, nil)
		b++
		add(true, flagACK, nil)
	}
	return list[:packets]
}

// BenchmarkTracker is what a packet costs from its IP header to its code, ten packets a sale.
func BenchmarkTracker(b *testing.B) {
	list := conversation(b, terminal4, host4, 10000)
	k := track(nothing{})
	buf := make([]byte, snaplen)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := list[i%len(list)]
		n := copy(buf, p)
		k.packet(begun.Add(time.Duration(i)*time.Millisecond), 2, buf[:n])
		clear(buf[:n])
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

// BenchmarkJunk is what a full segment of noise costs, each a beginning that has to be refused.
func BenchmarkJunk(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var list [][]byte
	for range 500 {
		data := make([]byte, 1400)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		if len(list)%2 == 0 {
			data[0], data[1] = 0x0f, 0xff // a length that is a lie
		}
		list = append(list, data)
	}
	k := track(nothing{})
	l := newLine(b, k, 1)
	l.connect(1)
	buf := make([]byte, 1400)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		copy(buf, list[i%len(list)])
		l.say(i%3 > 0, buf)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

// BenchmarkCapture is the same with a real packet socket: bursts are written into an interface, and the time is that of
// reading them.
func BenchmarkCapture(b *testing.B) {
	root(b)
	n, err := world.NewNet()
	if err != nil {
		b.Skip(err)
	}
	defer n.Close()
	var wire *os.File
	var s *socket
	err = n.Do(func() (err error) {
		wire, err = newTunnel()
		if err == nil {
			s, err = open("")
		}
		return err
	})
	if err != nil {
		b.Skip(err)
	}
	defer wire.Close()
	defer s.close()
	if err := n.Up("wire0"); err != nil {
		b.Fatal(err)
	}
	host := netip.MustParseAddrPort("203.0.113.10:8583")
	if err := s.attach([]netip.AddrPort{host}); err != nil {
		b.Fatal(err)
	}
	k := track(nothing{})
	list := conversation(b, netip.MustParseAddrPort("198.51.100.1:1"), host, 10000)
	b.ReportAllocs()
	b.StopTimer()
	b.ResetTimer()
	for done := 0; done < b.N; {
		want := min(burst, b.N-done)
		for i := range want {
			if _, err := wire.Write(list[(done+i)%len(list)]); err != nil {
				b.Fatal(err)
			}
		}
		_ = s.until(time.Now().Add(time.Second))
		b.StartTimer()
		for got := 0; got < want; {
			if err := s.read(func(iface int, p []byte) { k.packet(time.Now(), iface, p); got++ }); err != nil {
				b.Fatalf("%d of %d packets: %v, %d dropped", got, want, err, s.dropped())
			}
		}
		b.StopTimer()
		done += want
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

// newTunnel makes the interface wire0 in the namespace of the thread.
func newTunnel() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	r, err := unix.NewIfreq("wire0")
	if err != nil {
		return nil, err
	}
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "wire0"), nil
}
