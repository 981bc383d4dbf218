package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A change is an address that came into a node's kernel or left it.
type change struct {
	// node is the number of the node.
	node    byte
	addr    netip.Addr
	present bool
	at      instant
}

// A watcher follows the addresses of one node's kernel, whoever changes them.
type watcher struct {
	port *port
	node byte
	sock *nl.NetlinkSocket
	done chan struct{}

	mu      sync.Mutex
	present map[netip.Addr]bool
	changes []change
	err     error
}

// watch starts to follow the addresses of a host.
func watch(p *port, node byte) (*watcher, error) {
	w := &watcher{port: p, node: node, done: make(chan struct{}), present: map[netip.Addr]bool{}}
	err := p.space.do(func() (err error) {
		w.sock, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_IFADDR)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch addresses: %w", err)
	}
	w.sock.SetReceiveBufferSize(1<<20, false) // best effort: an overrun is mended below
	if err := w.resync(); err != nil {
		w.sock.Close()
		return nil, err
	}
	go w.run()
	return w, nil
}

// run notes changes until the socket is closed. A message is stamped when it is received,
// which is after the change; later than a daemon's own stamp, if the lab is slow.
func (w *watcher) run() {
	defer close(w.done)
	for {
		msgs, _, err := w.sock.Receive()
		at := now()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			err = w.resync() // events were lost
		case errors.Is(err, os.ErrClosed), errors.Is(err, unix.EBADF):
			return
		}
		if err != nil {
			w.mu.Lock()
			w.err = fmt.Errorf("%s: watch addresses: %w", w.port.space.name, err)
			w.mu.Unlock()
			return
		}
		for _, m := range msgs {
			if m.Header.Type != unix.RTM_NEWADDR && m.Header.Type != unix.RTM_DELADDR {
				continue
			}
			attrs, err := nl.ParseRouteAttr(m.Data[unix.SizeofIfAddrmsg:])
			if err != nil {
				continue
			}
			for _, a := range attrs {
				if addr, ok := netip.AddrFromSlice(a.Value); a.Attr.Type == unix.IFA_LOCAL && ok {
					w.note(addr, m.Header.Type == unix.RTM_NEWADDR, at)
				}
			}
		}
	}
}

// note keeps a change; an address whose lifetime was extended did not change.
func (w *watcher) note(addr netip.Addr, present bool, at instant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !isVIP(addr) || w.present[addr] == present {
		return
	}
	w.present[addr] = present
	w.changes = append(w.changes, change{w.node, addr, present, at})
}

// resync compares with the whole table.
func (w *watcher) resync() error {
	have, err := w.port.table()
	at := now()
	if err != nil {
		return err
	}
	for addr := range have {
		w.note(addr, true, at)
	}
	w.mu.Lock()
	var gone []netip.Addr
	for addr, there := range w.present {
		if there && !have[addr] {
			gone = append(gone, addr)
		}
	}
	w.mu.Unlock()
	for _, addr := range gone {
		w.note(addr, false, at)
	}
	return nil
}

// seen returns all changes so far, in their order.
func (w *watcher) seen() ([]change, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]change(nil), w.changes...), w.err
}

// forget drops all changes but those that brought what is there now.
func (w *watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var kept []change
	known := map[netip.Addr]bool{}
	for _, c := range slices.Backward(w.changes) {
		if w.present[c.addr] && !known[c.addr] {
			known[c.addr] = true
			kept = append(kept, c)
		}
	}
	slices.Reverse(kept)
	w.changes = kept
}

func (w *watcher) close() {
	w.sock.Close()
	<-w.done
}

// table returns the VIPs in the host's kernel.
func (p *port) table() (map[netip.Addr]bool, error) {
	for {
		addrs, err := p.inside.AddrList(p.link, unix.AF_INET)
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue // it changed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("%s: list addresses: %w", p.space.name, err)
		}
		out := map[netip.Addr]bool{}
		for _, a := range addrs {
			if addr, ok := netip.AddrFromSlice(a.IP.To4()); ok && isVIP(addr) {
				out[addr] = true
			}
		}
		return out, nil
	}
}

// isVIP says whether an address is one of the lab's VIPs rather than a host's own.
func isVIP(addr netip.Addr) bool { return subnet.Contains(addr) && addr.As4()[2] > 0 }
