package lab

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Host is one machine of a stage, with a service that answers the client's probes on
// every address that the host has, whatever becomes of the programs.
type Host struct {
	Name string
	// Dir is where the host's programs may keep their files.
	Dir       string
	port      *port
	num       byte
	responder *responder
	// away are the times in which the host was off the wire.
	away []span
}

// A span is a time, its end forever while it lasts.
type span struct{ from, to instant }

// Away says whether the host is off the wire.
func (h *Host) Away() bool { return len(h.away) > 0 && h.away[len(h.away)-1].to == forever }

// Cut takes the host off the wire silently or brings it back: its link stays up.
func (h *Host) Cut(off bool) error { return h.leave(off, func() error { return h.port.both(!off) }) }

// Unplug pulls the host's cable, which its kernel notices, or puts it back.
func (h *Host) Unplug(off bool) error {
	return h.leave(off, func() error { return h.port.carrier(!off) })
}

// leave does what takes the host off the wire or brings it back. While it is being done
// the host counts as on the wire.
func (h *Host) leave(off bool, do func() error) error {
	if !off && h.Away() {
		h.away[len(h.away)-1].to = now()
	}
	err := do()
	if off && err == nil && !h.Away() {
		h.away = append(h.away, span{now(), forever})
	}
	return err
}

// Clear removes every address that is not the host's own from its kernel.
func (h *Host) Clear() error {
	has, err := h.port.table()
	if err != nil {
		return err
	}
	for vip := range has {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(32, 32)}}
		if err := h.port.inside.AddrDel(h.port.link, addr); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("%s: remove %v: %w", h.Name, vip, err)
		}
	}
	return nil
}

// Start starts a program on the host, its output appended to a file in Dir. It has the
// priority of packaging/vippyd.service, whatever it is.
func (h *Host) Start(log, path string, args ...string) (*Program, error) {
	p, err := spawn(h.port.space, filepath.Join(h.Dir, log), path, args...)
	if err != nil {
		return nil, err
	}
	return &Program{p, filepath.Join(h.Dir, log)}, nil
}

// A Program is one run of a program on a host.
type Program struct {
	process *process
	log     string
}

// PID is its process id.
func (p *Program) PID() int { return p.process.cmd.Process.Pid }

// Ended is closed when the program has ended.
func (p *Program) Ended() <-chan struct{} { return p.process.ended }

// LastWords is how the program ended, if it did, and what it said last.
func (p *Program) LastWords() string {
	how := "running"
	if !p.process.running() {
		how = fmt.Sprintf("ended (%v)", p.process.result)
	}
	return fmt.Sprintf("%s; the end of its log:\n%s", how, tail(p.log, 10))
}

// Signal sends a signal; to a program that has ended it does nothing.
func (p *Program) Signal(sig unix.Signal) error { return p.process.signal(sig) }
