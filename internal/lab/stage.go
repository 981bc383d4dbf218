package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Stage is what a drill plays on, without the play: hosts and a client on one switch, and
// the instruments that watch them. Whoever opens it brings programs of any kind. Its methods
// are for one goroutine.
type Stage struct {
	// Hosts are node1, node2 and so on.
	Hosts  []*Host
	dir    *workdir
	wire   *wire
	client *port
	// probe and lookout watch from StartProbing until StopProbing.
	probe   *prober
	lookout *lookout
	undo    func()
	begin   instant
}

// OpenStage builds a stage of nodes hosts, at most 32. The error wraps ErrRefused where the
// kernel doesn't let this user.
func OpenStage(nodes int) (_ *Stage, err error) {
	if err := mayNamespace(); err != nil {
		return nil, refusal(err)
	}
	s := &Stage{undo: steady(nodes), begin: now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.dir, err = newWorkdir(); err != nil {
		return nil, err
	}
	var names []string
	for i := range nodes {
		names = append(names, fmt.Sprintf("node%d", i+1))
	}
	if s.wire, err = newWire(append(names, "client")); err != nil {
		return nil, err
	}
	s.client = s.wire.ports[nodes]
	for i, name := range names {
		h := &Host{Name: name, Dir: filepath.Join(s.dir.path, name), port: s.wire.ports[i], num: byte(i + 1)}
		s.Hosts = append(s.Hosts, h)
		if err := os.Mkdir(h.Dir, 0o700); err != nil {
			return nil, err
		}
		if h.responder, err = respond(h.port, h.num); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Close takes the stage down. The programs must have ended.
func (s *Stage) Close() error {
	s.StopProbing()
	for _, h := range s.Hosts {
		if h.responder != nil {
			h.responder.close()
		}
	}
	if s.wire != nil {
		s.wire.close()
	}
	s.undo()
	if s.dir != nil {
		return s.dir.close()
	}
	return nil
}

// StageVIPs returns n addresses that no host of a stage has, n at most 32768.
func StageVIPs(n int) []netip.Addr {
	out := make([]netip.Addr, 0, n)
	for vip := netip.AddrFrom4([4]byte{10, 99, 1, 1}); len(out) < n; vip = vip.Next() {
		out = append(out, vip)
	}
	return out
}

// Link is what every host of a stage calls its link.
const Link = linkName

// ClientAddr is an address that answers on the wire whatever the hosts do.
func (s *Stage) ClientAddr() netip.Addr { return s.client.addr }

// StartProbing lets the client probe addresses and follows the kernels' addresses until
// StopProbing; it returns the time between two probes of one address. The methods from Owners
// on to End are for the time between the two.
func (s *Stage) StartProbing(vips []netip.Addr) (every time.Duration, err error) {
	s.StopProbing()
	var ports []*port
	for _, h := range s.Hosts {
		ports = append(ports, h.port)
	}
	if s.lookout, err = lookOut(ports); err != nil {
		return 0, err
	}
	round := tick
	if len(vips) <= fineVIPs {
		round = fineTick
	}
	if s.probe, err = probe(s.client, vips, round); err != nil {
		return 0, err
	}
	return s.probe.turn(), nil
}

// StopProbing ends all that: nothing on the stage disturbs the programs any more.
func (s *Stage) StopProbing() {
	if s.probe != nil {
		s.probe.close()
		s.probe = nil
	}
	if s.lookout != nil {
		s.lookout.close()
		s.lookout = nil
	}
}

// Forget empties the client's neighbour table, as if it had asked for nothing yet.
func (s *Stage) Forget() error {
	index := s.client.link.Attrs().Index
	all, err := s.client.inside.NeighList(index, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("client: list neighbours: %w", err)
	}
	for _, n := range all {
		if addr, ok := netip.AddrFromSlice(n.IP.To4()); !ok || !isVIP(addr) {
			continue
		}
		if err := s.client.inside.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("client: forget neighbour %v: %w", n.IP, err)
		}
	}
	return nil
}

// Owners returns which hosts on the wire have each address in their kernel, by their
// places in Hosts.
func (s *Stage) Owners() (map[netip.Addr][]int, error) {
	has, err := s.lookout.has()
	out := map[netip.Addr][]int{}
	for i, h := range s.Hosts {
		for addr, is := range has[i] {
			if is && !h.Away() {
				out[addr] = append(out[addr], i)
			}
		}
	}
	return out, err
}

// Serving returns which host answered the client's latest probes of each address, by its
// place in Hosts, -1 for none.
func (s *Stage) Serving() map[netip.Addr]int {
	out := map[netip.Addr]int{}
	for addr, num := range s.probe.serving() {
		out[addr] = int(num) - 1
	}
	return out
}

// Traffic returns how many frames and bytes the hosts have sent into the wire.
func (s *Stage) Traffic() (frames, bytes uint64, err error) {
	for _, h := range s.Hosts {
		plug, err := s.wire.handle.LinkByIndex(h.port.plug.Attrs().Index)
		if err != nil {
			return 0, 0, fmt.Errorf("switch: count the frames of %s: %w", h.Name, err)
		}
		frames += plug.Attrs().Statistics.RxPackets
		bytes += plug.Attrs().Statistics.RxBytes
	}
	return frames, bytes, nil
}

// Begin starts a watch.
func (s *Stage) Begin() {
	s.lookout.mark()
	s.begin = now()
	s.probe.begin()
}

// A Sight is what a watch saw.
type Sight struct {
	// Gap is the longest time between two answered probes of an address with one in it that
	// was not answered, the worst over all addresses; 0 when all were.
	Gap time.Duration
	// Lost is how many probes of an address were not answered, the worst over all addresses.
	Lost int
	// Restored is from the beginning to the last probe that got no answer: from then on all
	// addresses answered. It is 0 when all did all the time.
	Restored time.Duration
	// None is how long an address was in the kernel of no host on the wire, the worst over
	// all addresses; Dual in those of two; Apart in those of two, on the wire or cut off.
	None, Dual, Apart time.Duration
	// Moved is from the beginning to the last address that came to a kernel.
	Moved time.Duration
	// Late is how late the probe itself was.
	Late time.Duration
}

// End ends the watch.
func (s *Stage) End() (Sight, error) {
	end, late := now(), time.Duration(s.probe.late.Load())
	time.Sleep(answerLimit)
	out := Sight{Late: late}
	for _, t := range s.probe.targets {
		lost := t.record.lost(t.first, s.begin, end)
		out.Gap, out.Lost = max(out.Gap, lost.gap), max(out.Lost, lost.probes)
		if lost.probes > 0 {
			out.Restored = max(out.Restored, lost.last.sub(s.begin))
		}
	}
	all, err := s.lookout.history()
	if err != nil {
		return Sight{}, err
	}
	_, out.Apart = crowds(all, s.begin, end)
	var near []hold
	for _, h := range all {
		near = append(near, without(h, s.Hosts[h.node-1].away)...)
		if h.from > s.begin && h.from <= end {
			out.Moved = max(out.Moved, h.from.sub(s.begin))
		}
	}
	out.None, out.Dual = crowds(near, s.begin, end)
	return out, nil
}
