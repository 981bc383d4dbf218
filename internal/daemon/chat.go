package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster/multicast"
	"github.com/vippy-ha/vippy/internal/config"
)

// socket is what the daemon uses of multicast.Conn.
type socket interface {
	Send(data []byte, to netip.AddrPort) error
	Read(b *multicast.Batch) error
	Waiting() bool
	Rescan() error
	Stats() multicast.Stats
	Close() error
}

// chatAt is where the nodes talk.
type chatAt struct {
	group      netip.AddrPort
	interfaces []string
}

func chatOf(c *config.Config) chatAt { return chatAt{c.Chat, c.ChatInterfaces} }

func (a chatAt) equal(b chatAt) bool {
	return a.group == b.group && slices.Equal(a.interfaces, b.interfaces)
}

func (a chatAt) config(log *slog.Logger) multicast.Config {
	interfaces := a.interfaces
	if len(interfaces) == 0 {
		interfaces = []string{multicast.All}
	}
	return multicast.Config{Group: a.group, Interfaces: interfaces, Log: log}
}

// rescanEvery is the time between two looks for chat links that came or went.
const rescanEvery = 2 * time.Second

// chat is an open socket with the goroutines that read it and keep its links.
type chat struct {
	socket
	at chatAt
	// batches go to the loop, which gives each back by free.
	batches, free chan *multicast.Batch
	// links carries the names of the joined links after a change.
	links chan []string
	// nudge asks for a look at the links now.
	nudge chan struct{}
	// done is closed with the socket.
	done chan struct{}
}

func newChat(s socket, at chatAt) *chat {
	c := &chat{
		socket:  s,
		at:      at,
		batches: make(chan *multicast.Batch, 2),
		free:    make(chan *multicast.Batch, 2),
		links:   make(chan []string, 1),
		nudge:   make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	for range cap(c.free) {
		c.free <- &multicast.Batch{}
	}
	return c
}

// close ends read and keepLinks. Call it once.
func (c *chat) close() {
	close(c.done)
	// Nothing is left to say to who talks no more.
	_ = c.Close()
}

// read hands batches to the loop until close.
func (c *chat) read() error {
	for {
		var b *multicast.Batch
		select {
		case b = <-c.free:
		case <-c.done:
			return nil
		}
		for more := true; more; more = len(b.Packets) == 0 { // nothing in it is worth a turn
			if err := c.Read(b); err != nil {
				if errors.Is(err, net.ErrClosed) {
					return nil
				}
				return fmt.Errorf("chat: %w", err)
			}
		}
		select {
		case c.batches <- b:
		case <-c.done:
			return nil
		}
	}
}

// keepLinks joins links that appear until close.
func (c *chat) keepLinks(log *slog.Logger) error {
	tick := time.NewTicker(rescanEvery)
	defer tick.Stop()
	var names []string
	said := ""
	for first := true; ; first = false {
		text := ""
		if err := c.Rescan(); err != nil {
			text = err.Error()
		}
		if text != "" && text != said {
			log.Warn("cannot chat on every link", "err", text)
		}
		said = text
		var now []string
		for _, l := range c.Stats().Links {
			now = append(now, l.Name)
		}
		if first || !slices.Equal(names, now) {
			names = now
			c.tell(now)
		}
		select {
		case <-tick.C:
		case <-c.nudge:
		case <-c.done:
			return nil
		}
	}
}

// tell leaves the newest names for the loop; only keepLinks calls it.
func (c *chat) tell(names []string) {
	select {
	case <-c.links:
	default:
	}
	c.links <- names
}

// lookAtLinks asks for a look without waiting for it.
func (c *chat) lookAtLinks() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}
