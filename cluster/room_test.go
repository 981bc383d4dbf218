package cluster

import (
	"testing"
	"time"
)

// TestBarsMakeRoom: many kinds of penalties never make a datagram that can't be sent.
func TestBarsMakeRoom(t *testing.T) {
	r := crowd(t, 3, 1000)
	for g := range 1000 {
		r.n.Vote(r.now, Vote{Source: "check", Group: &r.n.plan.Groups[g].Key, Penalty: 1 + g%12, Reason: "slow"})
	}
	if size, _ := r.largest(300 * time.Millisecond); size > maxDatagram {
		t.Errorf("%d bytes", size)
	}
}

// TestObjectionsMakeRoom: nor do many objections.
func TestObjectionsMakeRoom(t *testing.T) {
	r := crowd(t, 32, 1000)
	for i, s := range r.peers {
		s.ann.eligible = false
		for g := i; g < 1000; g += 3 {
			s.holds(g)
		}
	}
	if size, _ := r.largest(300 * time.Millisecond); size > maxDatagram {
		t.Errorf("%d bytes, %d objections", size, len(r.said.objections))
	}
}
