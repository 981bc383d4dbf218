package vipgroup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// wirePlan and wireGroup fix the order of the fields in a plan's encoding.
type wirePlan struct {
	Version   uint64          `json:"version"`
	Nodes     list[string]    `json:"nodes"`
	Voters    list[string]    `json:"voters,omitempty"`
	Partition Partition       `json:"partition"`
	Rebalance time.Duration   `json:"rebalance_ns"`
	Groups    list[wireGroup] `json:"groups"`
}

type wireGroup struct {
	Name         string             `json:"name"`
	Addresses    list[netip.Prefix] `json:"addresses,omitempty"`
	Election     bool               `json:"election,omitempty"`
	Prefer       list[string]       `json:"prefer,omitempty"`
	Preempt      bool               `json:"preempt"`
	PreemptDelay time.Duration      `json:"preempt_delay_ns,omitempty"`
	Partition    Partition          `json:"partition,omitempty"`
	Checks       list[string]       `json:"checks,omitempty"`
}

// A list is read no further than any list of a plan may go: a megabyte of empty groups would
// keep a node from its turns.
type list[T any] []T

// UnmarshalJSON reads a list, and refuses one that is too long.
func (l *list[T]) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t == nil {
		return err // null
	} else if t != json.Delim('[') {
		return fmt.Errorf("%v is no list", t)
	}
	for dec.More() {
		var x T
		if err := dec.Decode(&x); err != nil {
			return err
		}
		if *l = append(*l, x); len(*l) > MaxAddresses {
			return fmt.Errorf("a list has more than %d entries", MaxAddresses)
		}
	}
	return nil
}

// Encode returns the plan as nodes exchange it: JSON with a fixed order and without
// interface names. Equal plans encode to equal bytes.
func (p Plan) Encode() []byte {
	w := wirePlan{Version: p.Version, Nodes: p.Nodes, Voters: p.Voters, Partition: p.Partition, Rebalance: p.Rebalance}
	for _, g := range p.Groups {
		wg := wireGroup{Name: g.Name, Election: g.Election, Prefer: g.Prefer, Preempt: g.Preempt,
			PreemptDelay: g.PreemptDelay, Partition: g.Partition, Checks: g.Checks}
		for _, v := range g.VIPs {
			wg.Addresses = append(wg.Addresses, v.Address)
		}
		w.Groups = append(w.Groups, wg)
	}
	out, err := json.Marshal(w)
	if err != nil {
		panic("vipgroup: a plan of plain values must encode: " + err.Error())
	}
	return out
}

// Decode reads what Encode wrote. It refuses what NewPlan refuses.
func Decode(data []byte) (Plan, error) {
	var w wirePlan
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&w); err != nil {
		return Plan{}, fmt.Errorf("plan: %w", err)
	}
	if rest := int64(len(data)) - dec.InputOffset(); rest > 0 {
		return Plan{}, fmt.Errorf("plan: %d bytes follow its end", rest)
	}
	p := Plan{Version: w.Version, Nodes: w.Nodes, Voters: w.Voters, Partition: w.Partition, Rebalance: w.Rebalance}
	for _, wg := range w.Groups {
		g := Group{Name: wg.Name, Election: wg.Election, Prefer: wg.Prefer, Preempt: wg.Preempt,
			PreemptDelay: wg.PreemptDelay, Partition: wg.Partition, Checks: wg.Checks}
		for _, a := range wg.Addresses {
			g.VIPs = append(g.VIPs, VIP{Address: a})
		}
		p.Groups = append(p.Groups, g)
	}
	return NewPlan(p)
}

// Share returns the plan as it is sent to peers and kept on disk: its encoding, and behind
// that, where there are any, this host's names of the interfaces, in the order of the groups
// and their addresses. They are a hint for who doesn't know an address yet, and no part of
// the digest.
func (p Plan) Share() []byte {
	var names []string
	known := false
	for _, g := range p.Groups {
		for _, v := range g.VIPs {
			names = append(names, v.Interface)
			known = known || v.Interface != ""
		}
	}
	out := p.Encode()
	if !known {
		return out
	}
	hint, err := json.Marshal(names)
	if err != nil {
		panic("vipgroup: a list of names must encode: " + err.Error())
	}
	return append(out, hint...)
}

// Shared reads what Share wrote. It refuses what Decode refuses, and does without interface
// names that make no sense.
func Shared(data []byte) (Plan, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	var skip json.RawMessage
	if err := dec.Decode(&skip); err != nil {
		return Plan{}, fmt.Errorf("plan: %w", err)
	}
	p, err := Decode(data[:dec.InputOffset()])
	var names []string
	if err != nil || dec.Decode(&names) != nil {
		return p, err
	}
	addresses := 0
	for _, g := range p.Groups {
		addresses += len(g.VIPs)
	}
	if len(names) != addresses {
		return p, nil
	}
	for _, g := range p.Groups {
		for i := range g.VIPs {
			if InterfaceName(names[0]) == nil {
				g.VIPs[i].Interface = names[0]
			}
			names = names[1:]
		}
	}
	return p, nil
}
