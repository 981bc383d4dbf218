package vipgroup

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A VIP is one virtual address and, as a local fact that never travels, the
// interface of this host that carries it.
type VIP struct {
	// Address is the address with the prefix length it was configured with.
	Address netip.Prefix
	// Interface is this host's name for the link; empty in a plan that came from a peer.
	Interface string
}

// String returns "address/bits on interface".
func (v VIP) String() string {
	if v.Interface == "" {
		return v.Address.String()
	}
	return v.Address.String() + " on " + v.Interface
}

// A Key names a group on every node: the first 8 bytes of SHA-256 over its sorted
// addresses, or over its name where the group is an election without addresses.
type Key [8]byte

// String returns the key as 16 hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// Uint64 returns the key as a big-endian number.
func (k Key) Uint64() uint64 { return binary.BigEndian.Uint64(k[:]) }

// Compare orders keys as byte strings.
func (k Key) Compare(o Key) int { return bytes.Compare(k[:], o[:]) }

// Partition says what to do when the nodes are cut in two (DESIGN: full cut).
type Partition string

// The two answers to a full cut.
const (
	// Available lets each side serve.
	Available Partition = "available"
	// Single lets only a majority serve.
	Single Partition = "single"
)

// A Group is a set of VIPs that live on one node together.
type Group struct {
	Key  Key
	Name string
	// VIPs are sorted by address.
	VIPs []VIP
	// Election is set for a group that plumbs nothing: its name makes its key.
	Election bool
	// Prefer lists the nodes that should have the group, best first.
	Prefer []string
	// Preempt lets a preferred node take the group from a healthy holder.
	Preempt bool
	// PreemptDelay is how long a preferred node waits before it does.
	PreemptDelay time.Duration
	// Partition overrides the plan's; empty means the plan's.
	Partition Partition
	// Checks names the checks whose votes count for this group only.
	Checks []string
}

// Resources returns what two groups must not both own: the addresses, or the name of
// an election. Nodes with different plans compare these, never keys or names.
func (g Group) Resources() []string {
	if g.Election {
		return []string{"name:" + g.Name}
	}
	out := make([]string, len(g.VIPs))
	for i, v := range g.VIPs {
		out[i] = v.Address.Addr().String()
	}
	return out
}

// A Plan is what all nodes must agree on. Make one with NewPlan.
type Plan struct {
	Version uint64
	// Nodes is in the order of the config: it makes the rank.
	Nodes []string
	// Voters count for a majority; empty means all nodes. One that is not in Nodes takes
	// part in the chat and never owns anything.
	Voters []string
	// Groups are sorted by key.
	Groups    []Group
	Partition Partition
	// Rebalance is the pause between two moves that even the load; 0 means only on request.
	Rebalance time.Duration

	digest  Digest
	members []string
	places  map[string]int // of the members
	names   map[string]int // of the groups, as keys and owned
	keys    map[Key]int
	owned   map[string]int
}

// A Digest is the start of the SHA-256 of a plan's encoding: equal digests mean equal
// plans, whatever the interface names.
type Digest [16]byte

// String returns the digest as 32 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MaxNodes, of nodes and voters together, and MaxGroups bound a plan so that an
// announcement fits one datagram.
const (
	MaxNodes  = 32
	MaxGroups = 1000
)

// MaxPause bounds a plan's pauses, so that no arithmetic on times can overflow.
const MaxPause = 24 * time.Hour

// What else bounds a plan: one that a peer sends must cost no more than one from a file.
const (
	// MaxAddresses is how many addresses all groups may have together.
	MaxAddresses = 10000
	// MaxChecks is how many checks may speak for one group.
	MaxChecks = 64
	// MaxGroupName is the longest name of a group, in bytes.
	MaxGroupName = 128
	// MaxEncoding is the longest encoding, in bytes.
	MaxEncoding = 800_000
	// MaxVersion is the highest version: a number that JSON readers of any kind keep.
	MaxVersion = 1<<53 - 1
)

// NewPlan checks p, fills in the keys, sorts the groups and returns the plan with its
// digest. The errors name the group or node at fault.
func NewPlan(p Plan) (Plan, error) {
	if err := p.checkSize(); err != nil {
		return Plan{}, err // no look at what may be endless
	}
	var errs []error
	if len(p.Nodes) == 0 {
		errs = append(errs, errors.New("nodes: a plan needs at least one node"))
	}
	p.Nodes = slices.Clone(p.Nodes)
	p.Voters = slices.Clone(p.Voters)
	p.places = make(map[string]int, len(p.Nodes))
	for i, name := range p.Nodes {
		if err := checkName(name); err != nil {
			errs = append(errs, fmt.Errorf("nodes[%d]: %w", i, err))
		}
		if _, dup := p.places[name]; dup {
			errs = append(errs, fmt.Errorf("nodes[%d]: %q is listed twice", i, name))
		}
		p.places[name] = i
	}
	p.members = p.Nodes[:len(p.Nodes):len(p.Nodes)]
	for i, name := range p.Voters {
		if err := checkName(name); err != nil {
			errs = append(errs, fmt.Errorf("voters[%d]: %w", i, err))
		}
		if slices.Contains(p.Voters[:i], name) {
			errs = append(errs, fmt.Errorf("voters[%d]: %q is listed twice", i, name))
		}
		if _, known := p.places[name]; !known {
			p.places[name] = len(p.members)
			p.members = append(p.members, name)
		}
	}
	if len(p.Nodes) <= MaxNodes && len(p.members) > MaxNodes {
		errs = append(errs, fmt.Errorf("voters: %d nodes and voters together, at most %d", len(p.members), MaxNodes))
	}
	if p.Partition == "" {
		p.Partition = Available
	}
	errs = append(errs, within("", p.Partition.check()), within("rebalance", checkPause(p.Rebalance)))
	p.Groups = slices.Clone(p.Groups)
	names, owned := map[string]bool{}, map[string]string{}
	for i := range p.Groups {
		g := &p.Groups[i]
		group := fmt.Sprintf("vips[%d]", i)
		g.VIPs = slices.Clone(g.VIPs)
		for j, v := range g.VIPs {
			errs = append(errs, within(fmt.Sprintf("%s[%d]", group, j), checkAddress(v.Address)))
		}
		if g.Partition != "" {
			errs = append(errs, within(group, g.Partition.check()))
		}
		errs = append(errs, within(group+": preempt_delay", checkPause(g.PreemptDelay)))
		if g.Name == "" && len(g.VIPs) > 0 {
			g.Name = g.VIPs[0].Address.String()
		}
		slices.SortFunc(g.VIPs, func(a, b VIP) int { return a.Address.Addr().Compare(b.Address.Addr()) })
		if len(g.VIPs) == 0 {
			g.Election = true
		}
		if g.Name == "" {
			errs = append(errs, fmt.Errorf("%s: a group without addresses needs a name", group))
		}
		if len(g.Name) > MaxGroupName || !utf8.ValidString(g.Name) {
			errs = append(errs, fmt.Errorf("%s: the name %.20q is no text of at most %d bytes", group, g.Name, MaxGroupName))
		}
		if names[g.Name] {
			errs = append(errs, fmt.Errorf("%s: the name %q is used twice", group, g.Name))
		}
		names[g.Name] = true
		for j, name := range g.Prefer {
			if slices.Contains(g.Prefer[:j], name) {
				errs = append(errs, fmt.Errorf("%s: node %q is preferred twice", group, name))
			}
			if !slices.Contains(p.Nodes, name) {
				errs = append(errs, fmt.Errorf("%s: preferred node %q is not one of the nodes", group, name))
			}
		}
		for _, r := range g.Resources() {
			if other, dup := owned[r]; dup {
				errs = append(errs, fmt.Errorf("%s: %s is already in group %q", group, r, other))
			}
			owned[r] = g.Name
		}
		g.Key = KeyOf(g.Resources())
	}
	if err := errors.Join(errs...); err != nil {
		return Plan{}, err
	}
	slices.SortFunc(p.Groups, func(a, b Group) int { return a.Key.Compare(b.Key) })
	p.names, p.keys, p.owned = make(map[string]int, len(p.Groups)), make(map[Key]int, len(p.Groups)), make(map[string]int, len(p.Groups))
	for i, g := range p.Groups {
		if j, dup := p.keys[g.Key]; dup {
			return Plan{}, fmt.Errorf("vips: groups %q and %q have one key", p.Groups[j].Name, g.Name)
		}
		p.names[g.Name], p.keys[g.Key] = i, i
		for _, r := range g.Resources() {
			p.owned[r] = i
		}
	}
	encoding := p.Encode()
	if len(encoding) > MaxEncoding {
		return Plan{}, fmt.Errorf("vips: the plan takes %d bytes to tell, at most %d", len(encoding), MaxEncoding)
	}
	sum := sha256.Sum256(encoding)
	p.digest = Digest(sum[:16])
	return p, nil
}

// KeyOf returns the key of a group with the given resources, which are sorted.
func KeyOf(resources []string) Key {
	sum := sha256.Sum256([]byte(strings.Join(resources, "\n")))
	return Key(sum[:8])
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a node needs a name")
	case len(name) > 63:
		return fmt.Errorf("%q is longer than 63 bytes", name)
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fmt.Errorf("%q holds a space or control character", name)
	}
	return nil
}

// check refuses what is neither of the two answers.
func (p Partition) check() error {
	if p != Available && p != Single {
		return fmt.Errorf("partition: %q is neither %q nor %q", string(p), string(Available), string(Single))
	}
	return nil
}

// checkAddress refuses what no kernel can have as a VIP.
func checkAddress(a netip.Prefix) error {
	if !a.IsValid() {
		return errors.New("not an address with a prefix length")
	}
	if err := VirtualAddress(a); err != nil {
		return fmt.Errorf("%s %w", a, err)
	}
	return nil
}

// checkSize refuses more of anything than any plan may have.
func (p Plan) checkSize() error {
	var errs []error
	most := func(what string, n, limit int) {
		if n > limit {
			errs = append(errs, fmt.Errorf("%s, at most %d", fmt.Sprintf(what, n), limit))
		}
	}
	if p.Version > MaxVersion {
		errs = append(errs, fmt.Errorf("version: %d, at most %d", p.Version, uint64(MaxVersion)))
	}
	most("nodes: %d nodes", len(p.Nodes), MaxNodes)
	most("voters: %d voters", len(p.Voters), MaxNodes)
	most("vips: %d groups", len(p.Groups), MaxGroups)
	addresses := 0
	for _, g := range p.Groups[:min(len(p.Groups), MaxGroups)] {
		addresses += len(g.VIPs)
		most("vips: %d preferred nodes in a group", len(g.Prefer), MaxNodes)
		most("vips: %d checks of a group", len(g.Checks), MaxChecks)
	}
	most("vips: %d addresses", addresses, MaxAddresses)
	return errors.Join(errs...)
}

func checkPause(d time.Duration) error {
	if d < 0 || d > MaxPause {
		return fmt.Errorf("%v is not between 0 and %v", d, MaxPause)
	}
	return nil
}

// within says where a fault is, "" for the plan as a whole.
func within(place string, err error) error {
	if err == nil || place == "" {
		return err
	}
	return fmt.Errorf("%s: %w", place, err)
}

// Digest identifies the plan's content.
func (p Plan) Digest() Digest { return p.digest }

// Node returns the place of a node in Nodes, or -1.
func (p Plan) Node(name string) int {
	if i := p.Member(name); i < len(p.Nodes) {
		return i
	}
	return -1
}

// Group returns the place of a group in Groups, or -1.
func (p Plan) Group(k Key) int {
	if i, ok := p.keys[k]; ok {
		return i
	}
	return -1
}

// Owns returns the place of the group that has a resource (see Group.Resources), or -1.
func (p Plan) Owns(resource string) int {
	if i, ok := p.owned[resource]; ok {
		return i
	}
	return -1
}

// Find returns the place of the group that has the name, the key in hexadecimal or the
// address that a person typed, with or without its prefix length (the plan's, or that of an
// address alone, as the kernel has it), or -1. Whoever may vote may ask for any word, so each
// costs the same, known or not.
func (p Plan) Find(word string) int {
	if i, ok := p.names[word]; ok {
		return i
	}
	if key, err := hex.DecodeString(word); err == nil && len(key) == len(Key{}) {
		return p.Group(Key(key))
	}
	if addr, err := netip.ParseAddr(word); err == nil {
		return p.Owns(addr.String())
	}
	prefix, err := netip.ParsePrefix(word)
	if err != nil {
		return -1
	}
	i := p.Owns(prefix.Addr().String())
	if i >= 0 && !prefix.IsSingleIP() && !slices.ContainsFunc(p.Groups[i].VIPs, func(v VIP) bool { return v.Address == prefix }) {
		return -1
	}
	return i
}

// Rank is the place of a node for a group: the order of Nodes rotated by the group's
// key, 0 the best. A node that the plan does not name ranks behind all others.
func (p Plan) Rank(k Key, node string) int {
	i := p.Node(node)
	if i < 0 {
		return len(p.Nodes)
	}
	n := len(p.Nodes)
	return (i + n - int(k.Uint64()%uint64(n))) % n
}

// compareRank orders nodes by rank for a group, by name where neither is in the plan.
func (p Plan) compareRank(k Key, a, b string) int {
	return cmp.Or(cmp.Compare(p.Rank(k, a), p.Rank(k, b)), cmp.Compare(a, b))
}

// Better says whether node a ranks before node b for the group with key k.
func (p Plan) Better(k Key, a, b string) bool { return p.compareRank(k, a, b) < 0 }
