package cluster

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// fetch is the one transfer under way.
type fetch struct {
	digest vipgroup.Digest
	from   int // the peer asked
	data   []byte
	total  int
	asked  time.Time
	// unanswered counts the requests since something new came.
	unanswered int
	// refused has why a plan that arrived whole is none.
	refused map[vipgroup.Digest]string
}

// The messages by which a plan travels: a request names the digest and how much is
// there already, a part answers with the next bytes of the encoding.
const (
	partSize    = 1000
	maxPlanSize = 1 << 20
	// minPart is what a part carries at least, but for the last one: a transfer by single
	// bytes would never end.
	minPart = 256
)

// planRequest asks for more of a plan.
type planRequest struct {
	digest vipgroup.Digest
	offset int
}

// appendPlanRequest writes a request.
func (r planRequest) append(b []byte) []byte {
	return binary.AppendUvarint(append(b, r.digest[:]...), uint64(r.offset))
}

func (r *reader) planRequest() (q planRequest, ok bool) {
	copy(q.digest[:], r.take(len(q.digest)))
	at := r.uvarint()
	q.offset = int(min(at, maxPlanSize))
	return q, !r.bad && len(r.b) == 0
}

// planPart carries some of a plan's encoding.
type planPart struct {
	digest        vipgroup.Digest
	total, offset int
	data          []byte
}

func (p planPart) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, p.digest[:]...), uint64(p.total))
	return append(binary.AppendUvarint(b, uint64(p.offset)), p.data...)
}

func (r *reader) planPart() (p planPart, ok bool) {
	copy(p.digest[:], r.take(len(p.digest)))
	total, offset := r.uvarint(), r.uvarint()
	p.data = r.b
	ok = !r.bad && total <= maxPlanSize && offset <= total && uint64(len(p.data)) <= total-offset
	p.total, p.offset = int(total), int(offset)
	return p, ok
}

// servePlan answers a request for our own plan.
func (n *Node) servePlan(q planRequest, to netip.AddrPort) {
	data := n.encoded
	if q.digest != n.plan.Digest() || q.offset >= len(data) || len(n.direct) >= maxDirect {
		return
	}
	part := planPart{digest: q.digest, total: len(data), offset: q.offset,
		data: data[q.offset:min(len(data), q.offset+partSize)]}
	n.direct = append(n.direct, Datagram{To: to, Data: n.sealed(kindPlanPart, part.append)})
}

// maxDirect bounds the answers of one turn.
const maxDirect = 8

// serveStranger answers a request of who isn't believed: a node that our plan doesn't have
// can find out by nothing else that it was taken out, or back in. The plan is no secret, and
// nothing here depends on who asks; but as it may be a recording, it is answered sparingly.
func (n *Node) serveStranger(now time.Time, r *reader, to netip.AddrPort) {
	q, ok := r.planRequest()
	if !ok || now.Sub(n.servedAt) < n.timing.Interval/16 {
		return
	}
	n.servedAt = now
	n.servePlan(q, to)
}

// takePart adds a part to the transfer under way; a whole plan is checked and learnt.
func (n *Node) takePart(p planPart) {
	f := &n.plans.fetch
	if p.digest != f.digest || p.offset != len(f.data) || len(p.data) < minPart && p.offset+len(p.data) < p.total {
		return
	}
	f.data, f.total, f.asked, f.unanswered = append(f.data, p.data...), p.total, time.Time{}, 0
	if len(f.data) < f.total {
		return
	}
	plan, err := vipgroup.Shared(f.data)
	f.data = nil
	if err != nil || plan.Digest() != f.digest {
		why := "its digest names another one"
		if err != nil {
			why = short(err.Error())
		}
		// What nobody has any more may be asked for again.
		fresh := map[vipgroup.Digest]string{f.digest: why}
		for d, why := range f.refused {
			if n.planUsed(d) {
				fresh[d] = why
			}
		}
		f.refused = fresh
		return
	}
	n.plans.learn(plan)
	n.digestChanged()
	f.digest = vipgroup.Digest{}
}

// maxUnanswered is how many requests in a row go without an answer before the transfer
// begins anew, with another plan where one is wanted: who promises a plan and never
// delivers must not keep this node from the others.
const maxUnanswered = 16

// fetchPlans asks those that are heard in turn for a plan that is not known here, and returns
// when to ask again.
func (n *Node) fetchPlans(now time.Time) (wake time.Time) {
	f := &n.plans.fetch
	from := n.announcers()
	var ask []int // who has a plan that is not known here
	for i, p := range from {
		if i >= len(n.peers) && len(ask) > 0 {
			break // strangers wait until all peers' plans are known
		}
		if p != nil && p.isHeard() && p.table == nil && p.from.IsValid() {
			if _, refused := f.refused[p.ann.digest]; !refused {
				ask = append(ask, i)
			}
		}
	}
	if len(ask) == 0 {
		return wake
	}
	pause := n.timing.Interval / 4
	due := now.Sub(f.asked) >= pause
	if stuck := due && f.unanswered >= maxUnanswered; stuck || !slices.ContainsFunc(ask, func(i int) bool { return from[i].ann.digest == f.digest }) {
		*f = fetch{digest: n.nextFetch(from, ask), refused: f.refused, from: nobody}
		due = true
	}
	if due {
		// The next one that has it: the last may not have heard the question.
		ask = slices.DeleteFunc(ask, func(i int) bool { return from[i].ann.digest != f.digest })
		next := ask[0]
		if f.asked.IsZero() && slices.Contains(ask, f.from) {
			next = f.from
		} else if i := slices.IndexFunc(ask, func(i int) bool { return i > f.from }); i >= 0 {
			next = ask[i]
		}
		f.from, f.asked = next, now
		f.unanswered++
		q := planRequest{digest: f.digest, offset: len(f.data)}
		n.direct = append(n.direct, Datagram{To: from[next].from, Data: n.sealed(kindPlanRequest, q.append)})
	}
	return f.asked.Add(pause)
}

// nextFetch chooses a plan of those that some announce: the highest version first, and
// after one that can't be had, the next.
func (n *Node) nextFetch(from []*peer, ask []int) vipgroup.Digest {
	slices.SortStableFunc(ask, func(i, j int) int {
		a, b := &from[i].ann, &from[j].ann
		return cmp.Or(cmp.Compare(b.version, a.version), bytes.Compare(a.digest[:], b.digest[:]))
	})
	last := slices.IndexFunc(ask, func(i int) bool { return from[i].ann.digest == n.plans.fetch.digest })
	next := ask[0]
	for _, i := range ask[last+1:] {
		if last >= 0 && from[i].ann.digest != n.plans.fetch.digest {
			next = i
			break
		}
	}
	slices.Sort(ask)
	return from[next].ann.digest
}

// announcers are those whose plan must be known: the peers, and strangers that live.
func (n *Node) announcers() []*peer {
	all := n.peers
	for _, s := range n.strangers {
		if s.sure {
			all = append(all[:len(all):len(all)], s.peer)
		}
	}
	return all
}
