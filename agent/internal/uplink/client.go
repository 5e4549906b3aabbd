package uplink

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// A client is one connection that speaks MQTT 3.1.1 at QoS 1. It keeps nothing and tries nothing again: the queue is the
// outbox, and what went wrong ends the connection. It takes the packets from the library and not the client, which brings
// stores, WebSockets and with them HTTP, a tenth of the whole program, and wakes up all the time to see if a ping is due.
type client struct {
	conn      net.Conn
	keepAlive time.Duration
	take      func(*packets.PublishPacket) // on the goroutine that reads; must not wait
	lost      func(error)

	pong  chan struct{}
	ended chan struct{} // nothing is read any more

	writing sync.Mutex // one packet at a time

	mu      sync.Mutex
	id      uint16 // the last one used
	pending map[uint16]*token
	wrote   time.Time
}

// A token stands for a packet that the broker has to acknowledge. It is never done on a connection that was lost.
type token struct {
	done  chan struct{}
	codes []byte // of a SUBACK, in the order of the filters
}

// login sends CONNECT and returns the code of the CONNACK; the client works after code 0 only. The deadline is of both.
func (c *client) login(m *packets.ConnectPacket, deadline time.Time) (code byte, err error) {
	c.conn.SetReadDeadline(deadline)
	if err := c.write(m); err != nil {
		return 0, err
	}
	p, err := packets.ReadPacket(c.conn)
	if err != nil {
		return 0, err
	}
	a, ok := p.(*packets.ConnackPacket)
	if !ok {
		return 0, errors.New("something else than CONNACK came")
	}
	if a.ReturnCode != packets.Accepted {
		return a.ReturnCode, nil
	}
	c.conn.SetReadDeadline(time.Time{})
	go c.read()
	go c.beat()
	return 0, nil
}

// publish sends a message at QoS 1. It waits no longer than writeTimeout for the connection to take it.
func (c *client) publish(topic string, retained bool, payload []byte) *token {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.Qos, p.TopicName, p.Retain, p.Payload = 1, topic, retained, payload
	t, id := c.expect()
	p.MessageID = id
	c.send(p)
	return t
}

// subscribe asks for topics at QoS 1.
func (c *client) subscribe(filters []string) *token {
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.Topics = filters
	for range filters {
		p.Qoss = append(p.Qoss, 1)
	}
	t, id := c.expect()
	p.MessageID = id
	c.send(p)
	return t
}

// disconnect says goodbye and waits up to limit for the broker to hang up.
func (c *client) disconnect(limit time.Duration) {
	c.send(packets.NewControlPacket(packets.Disconnect))
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
	}
}

// expect makes a token under an identifier that is free.
func (c *client) expect() (*token, uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id++
	for c.id == 0 || c.pending[c.id] != nil {
		c.id++
	}
	t := &token{done: make(chan struct{})}
	c.pending[c.id] = t
	return t, c.id
}

func (c *client) settle(id uint16, codes []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.pending[id]; t != nil {
		delete(c.pending, id)
		t.codes = codes
		close(t.done)
	}
}

// send writes a packet; who waits for its effect hears of a failure as the end of the connection.
func (c *client) send(p packets.ControlPacket) {
	if err := c.write(p); err != nil {
		c.lost(err)
	}
}

func (c *client) write(p packets.ControlPacket) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	err := p.Write(c.conn)
	c.mu.Lock()
	c.wrote = time.Now()
	c.mu.Unlock()
	return err
}

// read takes what the broker sends until the connection ends.
func (c *client) read() {
	defer close(c.ended)
	for {
		p, err := packets.ReadPacket(c.conn)
		if err == nil {
			err = c.handle(p)
		}
		if err != nil {
			c.lost(err)
			return
		}
	}
}

func (c *client) handle(p packets.ControlPacket) error {
	switch p := p.(type) {
	case *packets.PublishPacket:
		if p.Qos > 1 {
			return fmt.Errorf("the broker sends QoS %d, subscribed was 1", p.Qos)
		}
		c.take(p)
		if p.Qos == 1 {
			a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			a.MessageID = p.MessageID
			return c.write(a)
		}
	case *packets.PubackPacket:
		c.settle(p.MessageID, nil)
	case *packets.SubackPacket:
		c.settle(p.MessageID, p.ReturnCodes)
	case *packets.PingrespPacket:
		signal(c.pong)
	default:
		return errors.New("the broker sends a packet that is not for clients")
	}
	return nil
}

// beat pings when nothing was sent for the keep-alive time (MQTT 3.1.1 section 3.1.2.10) and ends a connection on which
// no answer comes.
func (c *client) beat() {
	timer := time.NewTimer(c.keepAlive)
	defer timer.Stop()
	for {
		select {
		case <-c.ended:
			return
		case <-timer.C:
		}
		c.mu.Lock()
		idle := time.Since(c.wrote)
		c.mu.Unlock()
		if idle < c.keepAlive {
			timer.Reset(c.keepAlive - idle)
			continue
		}
		select { // of an answer that nobody asked for
		case <-c.pong:
		default:
		}
		c.send(packets.NewControlPacket(packets.Pingreq))
		timer.Reset(pingTimeout)
		select {
		case <-c.ended:
			return
		case <-c.pong:
			timer.Reset(c.keepAlive)
		case <-timer.C:
			c.lost(fmt.Errorf("no answer to a ping within %v", pingTimeout))
			return
		}
	}
}
