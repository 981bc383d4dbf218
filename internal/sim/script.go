package sim

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// A Script is a scenario in words: first the cluster, then what happens, line by line.
//
//	nodes 3                     n0, n1 and n2
//	interval 100ms              also: stale, mature, lifetime
//	groups 1 2,3 4@n1           the addresses 10.9.0.x of each group, @ names who is preferred
//	plan 1,2 3 4                a second plan of the same nodes, for "begin adopt n0 2"
//	gateway, tape               a gateway is on the wire; a stranger records all chat
//	unguarded                   the daemons have no guards
//	single                      only a majority may serve
//	voters 1                    so many of the nodes, the last ones, are voters only
//	unicast                     the nodes talk by unicast only
//	twin                        a host "twin" is there for "begin twin n1"
//	loss 50, seed 7             per 1000 frames; what random draws depend on
//
//	start n0 n1                 start processes, all without names
//	run 2s                      let time pass
//	begin cut n0 n1             a fault of faults.go begins
//	end cut n0 n1               and ends
//	replay n1 0s 2s             the stranger sends again what n1 said in that time
//	noise                       the stranger broadcasts something that means nothing
//	mark                        count moves and gaps from here
//	expect held                 every address has one owner
//	expect owner 1 n2           address 10.9.0.1 is on n2 alone; "nobody", or several names
//	expect moves 2              changes of owner since the mark
//	expect gap < 600ms          the longest time without an owner since the mark
//
// Anything after # is for the reader.
type Script struct {
	cfg    Config
	groups string
	plan   string
	tape   bool
	single bool
	lines  []scriptLine
}

type scriptLine struct {
	number int
	words  []string
}

// ParseScript reads a script.
func ParseScript(text string) (*Script, error) {
	s := &Script{cfg: Config{Seed: 1, Nodes: 3, Steady: true, Timing: cluster.Timing{Interval: 100 * time.Millisecond,
		Stale: 500 * time.Millisecond, Lifetime: time.Second}}}
	for i, l := range strings.Split(text, "\n") {
		l, _, _ = strings.Cut(l, "#")
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		known, err := s.setting(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", i+1, strings.Join(words, " "), err)
		}
		if !known {
			s.lines = append(s.lines, scriptLine{i + 1, words})
		}
	}
	if s.cfg.Mature == 0 {
		s.cfg.Mature = s.cfg.Stale
	}
	return s, s.makePlans()
}

// setting reads a line about the cluster; false means that it is about what happens.
func (s *Script) setting(words []string) (known bool, err error) {
	number := func(to *int) { *to, err = strconv.Atoi(strings.Join(words[1:], " ")) }
	duration := func(to *time.Duration) { *to, err = time.ParseDuration(strings.Join(words[1:], " ")) }
	switch words[0] {
	case "nodes":
		number(&s.cfg.Nodes)
	case "loss":
		number(&s.cfg.Loss)
	case "seed":
		n := 0
		number(&n)
		s.cfg.Seed = uint64(n)
	case "interval":
		duration(&s.cfg.Interval)
	case "stale":
		duration(&s.cfg.Stale)
	case "mature":
		duration(&s.cfg.Mature)
	case "lifetime":
		duration(&s.cfg.Lifetime)
	case "groups":
		s.groups = strings.Join(words[1:], " ")
	case "plan":
		s.plan = strings.Join(words[1:], " ")
	case "unguarded":
		s.cfg.NoGuard = true
	case "single":
		s.single = true
	case "voters":
		number(&s.cfg.Voters)
	case "unicast":
		s.cfg.Unicast = true
	case "drop":
		s.cfg.Drop = true
	case "twin":
		s.cfg.Pests = true
	case "gateway":
		s.cfg.Gateway = true
	case "tape":
		s.tape = true
	default:
		return false, nil
	}
	return true, err
}

func (s *Script) makePlans() error {
	for version, words := range []string{s.groups, s.plan} {
		if words == "" {
			continue
		}
		var sets [][]int
		var prefer []int
		for _, w := range strings.Fields(words) {
			list, node, _ := strings.Cut(w, "@")
			var set []int
			for _, a := range strings.Split(list, ",") {
				n, err := strconv.Atoi(a)
				if err != nil {
					return fmt.Errorf("groups: %q is not a list of numbers", list)
				}
				set = append(set, n)
			}
			p := -1
			if node != "" {
				var err error
				if p, err = strconv.Atoi(strings.TrimPrefix(node, "n")); err != nil || p < 0 || p >= s.cfg.Nodes {
					return fmt.Errorf("groups: %q is no node", node)
				}
			}
			sets, prefer = append(sets, set), append(prefer, p)
		}
		p := MakePlan(uint64(version+1), s.cfg.Nodes-s.cfg.Voters, sets, prefer)
		if s.single {
			p = MakeSingle(p, s.cfg.Voters)
		}
		s.cfg.Plans = append(s.cfg.Plans, p)
	}
	if len(s.cfg.Plans) == 0 {
		return fmt.Errorf("a script needs a line of groups")
	}
	return nil
}

// Run plays the script and returns its story, also where an expectation fails.
func (s *Script) Run() (story string, err error) {
	w := New(s.cfg)
	w.attacker.recording = s.tape
	if s.cfg.Gateway {
		w.beacon()
	}
	for _, l := range s.lines {
		if err := w.play(l.words); err != nil {
			return w.Story(-1), fmt.Errorf("line %d: %s: %w", l.number, strings.Join(l.words, " "), err)
		}
		if w.violation != nil {
			return w.Story(-1), fmt.Errorf("line %d: %s: %w", l.number, strings.Join(l.words, " "), w.violation)
		}
	}
	return w.Story(-1), nil
}

func (w *World) play(words []string) error {
	switch verb, rest := words[0], words[1:]; verb {
	case "start":
		for _, h := range w.hosts[:w.cfg.Nodes] {
			if len(rest) == 0 || slices.Contains(rest, h.name) {
				h.start()
			}
		}
	case "run":
		d, err := time.ParseDuration(strings.Join(rest, " "))
		if err != nil {
			return err
		}
		w.Run(d)
	case "begin":
		f, err := w.parseFault(rest)
		if err != nil {
			return err
		}
		w.Begin(f)
	case "end":
		for _, f := range w.faults {
			if w.describe(f) == strings.Join(rest, " ") || len(rest) == 1 && string(f.Kind) == rest[0] {
				w.End(f)
				return nil
			}
		}
		return fmt.Errorf("no such fault is going on")
	case "replay":
		return w.parseReplay(rest)
	case "noise":
		w.broadcast(&frame{kind: noise, src: int16(w.stranger)})
	case "mark":
		w.check.moves, w.check.gap = 0, 0
	case "expect":
		return w.expect(rest)
	default:
		return fmt.Errorf("%q is not a word of the language", verb)
	}
	return nil
}

// parseFault reads what describe writes.
func (w *World) parseFault(words []string) (*Fault, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("which fault?")
	}
	f := &Fault{Kind: FaultKind(words[0])}
	if !slices.Contains(faultKinds, f.Kind) {
		return nil, fmt.Errorf("no fault is called %q", f.Kind)
	}
	var hosts []int
	for _, word := range words[1:] {
		if h := w.host(word); h != nil {
			hosts = append(hosts, h.id)
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("%q is neither a node nor a number", word)
		}
		f.Arg = n
	}
	switch f.Kind {
	case Split:
		for _, h := range hosts {
			f.Arg |= 1 << h
		}
		return f, nil
	case Adopt:
		f.Arg--
	case Forget, Squat:
		f.Arg = w.address(f.Arg)
	case Worse, BarOne, Move:
		f.Arg = w.groupOf(w.address(f.Arg))
	}
	if f.Arg < 0 && f.Kind != Doze && f.Kind != KillBoth {
		return nil, fmt.Errorf("no such address")
	}
	if len(hosts) > 0 {
		f.A = hosts[0]
	}
	if len(hosts) > 1 {
		f.B = hosts[1]
	}
	return f, nil
}

// address is the number in the world of 10.9.0.x, or -1.
func (w *World) address(x int) int {
	return slices.IndexFunc(w.addrs[:w.vips], func(a netip.Addr) bool { return int(a.As4()[3]) == x })
}

func (w *World) groupOf(addr int) int {
	return slices.IndexFunc(w.groups, func(g group) bool { return slices.Contains(g.addrs, addr) })
}

func (w *World) parseReplay(words []string) error {
	if len(words) != 3 || w.host(words[0]) == nil {
		return fmt.Errorf("replay NODE FROM TO")
	}
	from, err := time.ParseDuration(words[1])
	if err != nil {
		return err
	}
	to, err := time.ParseDuration(words[2])
	if err != nil {
		return err
	}
	w.note(-1, fmt.Sprintf("--- replay %s", strings.Join(words, " ")), -1)
	w.attacker.replay(w.host(words[0]).id, int64(from), int64(to))
	return nil
}

func (w *World) expect(words []string) error {
	c := &w.check
	c.after()
	switch {
	case len(words) == 1 && words[0] == "held":
		if left := c.unsettled(); left != "" {
			return fmt.Errorf("%s", left)
		}
	case len(words) >= 3 && words[0] == "owner":
		x, err := strconv.Atoi(words[1])
		a := w.address(x)
		if err != nil || a < 0 {
			return fmt.Errorf("no such address")
		}
		var have []string
		for m := c.serving(a); m != 0; m &= m - 1 {
			have = append(have, w.hosts[bits.TrailingZeros32(m)].name)
		}
		if len(have) == 0 {
			have = []string{"nobody"}
		}
		if !slices.Equal(have, words[2:]) {
			return fmt.Errorf("it is on %s", strings.Join(have, " and "))
		}
	case len(words) == 2 && words[0] == "moves":
		if want, err := strconv.Atoi(words[1]); err != nil || c.moves != want {
			return fmt.Errorf("there were %d", c.moves)
		}
	case len(words) == 3 && words[0] == "gap" && words[1] == "<":
		want, err := time.ParseDuration(words[2])
		if err != nil {
			return err
		}
		if time.Duration(c.gap) >= want {
			return fmt.Errorf("it was %v", time.Duration(c.gap))
		}
	default:
		return fmt.Errorf("what is expected?")
	}
	return nil
}
