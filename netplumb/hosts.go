package netplumb

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A Neighbour is a host that a kernel of the cluster speaks with.
type Neighbour struct {
	Addr netip.Addr
	MAC  MAC
	// Age is how long ago the host was confirmed to be there.
	Age time.Duration
}

const (
	// maxOwnHosts bounds what is kept of this kernel's neighbours, whose table has room for
	// as many by default (net.ipv4.neigh.default.gc_thresh3).
	maxOwnHosts = 1024
	// maxHosts bounds the collective table.
	maxHosts = 4096
	// maxSharers bounds the nodes whose tables are kept, maxShared the hosts of each.
	maxSharers, maxShared = 64, 1024
	// hostAge is how long a host that nobody confirms is remembered.
	hostAge = time.Hour
)

// A contact is a neighbour with what only this node knows of it. seen is CLOCK_BOOTTIME.
type contact struct {
	addr netip.Addr
	mac  MAC
	seen time.Duration
	// link is where this kernel speaks with it, "" for who was told of by others; router:
	// it is a router there (IPv6 only: NTF_ROUTER).
	link   string
	router bool
}

// hosts is the collective table: whom this kernel and those of the other nodes speak with.
// All methods may be called from any goroutine.
type hosts struct {
	mu     sync.Mutex
	own    map[netip.Addr]contact
	shared map[string][][]contact // by node and part
	merged []contact              // the newest first; replaced, never changed
	stale  bool
}

// read takes in what this kernel has confirmed, and returns all that it is known to have
// confirmed within hostAge, the newest first.
func (t *hosts) read(now time.Duration, confirmed []contact) []contact {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.own == nil {
		t.own = make(map[netip.Addr]contact)
	}
	for _, h := range confirmed {
		t.own[h.addr] = h
	}
	t.stale = true
	all := make([]contact, 0, len(t.own))
	for _, h := range t.own {
		all = append(all, h)
	}
	slices.SortFunc(all, newestFirst)
	for i, h := range all {
		if i >= maxOwnHosts || now-h.seen > hostAge {
			delete(t.own, h.addr)
			all[i].addr = netip.Addr{}
		}
	}
	return slices.DeleteFunc(all, func(h contact) bool { return !h.addr.IsValid() })
}

func newestFirst(a, b contact) int {
	return cmp.Or(cmp.Compare(b.seen, a.seen), a.addr.Compare(b.addr))
}

// learn takes in a part of another node's table. What a node that is silent has told stays:
// its clients are those who must be told when it is gone.
func (t *hosts) learn(now time.Duration, node string, part, of int, list []Neighbour) {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts, known := t.shared[node]
	if part < 0 || part >= of || !known && len(t.shared) >= maxSharers {
		return
	}
	for len(parts) < of {
		parts = append(parts, nil)
	}
	clear(parts[of:])
	parts = parts[:of]
	others := 0
	for i := range parts {
		if i != part {
			others += len(parts[i])
		}
	}
	list = list[:min(len(list), max(0, maxShared-others))]
	parts[part] = nil
	for _, n := range list {
		parts[part] = append(parts[part], contact{addr: n.Addr, mac: n.MAC, seen: now - n.Age})
	}
	if t.shared == nil {
		t.shared = make(map[string][][]contact)
	}
	t.shared[node], t.stale = parts, true
}

// merge makes list up to date.
func (t *hosts) merge(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stale {
		return
	}
	t.stale = false
	all := make(map[netip.Addr]contact, len(t.own))
	for _, h := range t.own {
		all[h.addr] = h
	}
	for _, parts := range t.shared {
		for _, part := range parts {
			for _, h := range part {
				known, ok := all[h.addr]
				if ok && known.seen >= h.seen || now-h.seen > hostAge {
					continue
				}
				h.link, h.router = known.link, known.router
				all[h.addr] = h
			}
		}
	}
	merged := make([]contact, 0, len(all))
	for _, h := range all {
		merged = append(merged, h)
	}
	slices.SortFunc(merged, newestFirst)
	t.merged = slices.Clip(merged[:min(len(merged), maxHosts)])
}

// list returns the newest merged table, the newest host first. It must not be changed.
func (t *hosts) list() []contact {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.merged
}

// newest returns the hosts of the merged table that were seen last.
func (t *hosts) newest(now time.Duration, most int) []Neighbour {
	list := t.list()
	out := make([]Neighbour, 0, min(most, len(list)))
	for _, h := range list[:cap(out)] {
		out = append(out, Neighbour{h.addr, h.mac, now - h.seen})
	}
	return out
}
