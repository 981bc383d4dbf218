package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/vippy-ha/vippy/cluster"
)

// A drain is an operator's order that this node shall have nothing that another one can
// have. It outlives the process, and ends by itself where it has an end.
type drain struct {
	// By is the user who gave it, and From the node on which.
	By, From string
	Since    time.Time
	// Until is when it ends; zero for never.
	Until time.Time `json:",omitzero"`
}

// note says until when, by whom and since when, the most important first: others are
// told only the beginning where it gets long.
func (d *drain) note() string {
	const minute = "2006-01-02T15:04Z"
	var parts []string
	if !d.Until.IsZero() {
		parts = append(parts, "until "+d.Until.UTC().Format(minute))
	}
	if d.By != "" {
		parts = append(parts, fmt.Sprintf("by %s at %s", d.By, d.From))
	}
	return strings.Join(append(parts, "since "+d.Since.UTC().Format(minute)), " ")
}

// order is what the core is told. What is left of it is never more than it was in the
// beginning, wherever the wall clock was set meanwhile.
func (d *drain) order(now time.Time) cluster.Drain {
	out := cluster.Drain{Note: d.note()}
	if !d.Until.IsZero() {
		out.Until = now.Add(min(d.Until.Sub(now.Round(0)), d.Until.Sub(d.Since)))
	}
	return out
}

// over says whether it has ended by the wall clock.
func (d *drain) over(now time.Time) bool { return !d.order(now).Until.After(now) && !d.Until.IsZero() }

// drainNode brings an order into force; nil ends it.
func (l *loop) drainNode(now time.Time, d *drain) {
	l.drained = d
	if d == nil {
		l.node.Undrain(now)
	} else {
		l.node.Drain(now, d.order(now))
	}
	l.story.stir(now)
}

// drainEnds notices that an order ended by itself.
func (l *loop) drainEnds() {
	if l.drained == nil || l.drained.Until.IsZero() || l.node.Drained() {
		return
	}
	l.log.Info("no longer drained: its time is over")
	l.drained = nil
	l.helpers.Go(func() error {
		if err := l.keepDrain(l.life); err != nil {
			l.log.Error(err.Error())
		}
		return nil
	})
}

// keepDrain brings the file in line with what is in force, away from the loop: a disk may
// be slow.
func (l *loop) keepDrain(ctx context.Context) error {
	l.drains.Lock()
	defer l.drains.Unlock()
	var d *drain
	if err := l.inLoop(ctx, func(time.Time) { d = l.drained }); err != nil {
		return err
	}
	return l.saveDrain(d)
}

// orderDrain changes what is in force, and returns when it is kept.
func (l *loop) orderDrain(ctx context.Context, d *drain) (string, error) {
	var was *drain
	successors := false
	if err := l.inLoop(ctx, func(now time.Time) {
		was, successors = l.drained, l.node.Successors()
		if d != nil || was != nil {
			l.drainNode(now, d)
		}
	}); err != nil {
		return "", err
	}
	message := l.name + " takes part again"
	switch {
	case d != nil:
		message = l.name + " is drained: what it holds goes to its successors"
		if !successors {
			message = l.name + " is drained, but goes on serving what it holds: no other node may have anything now"
		}
		if !d.Until.IsZero() {
			message += "; it takes part again at " + d.Until.UTC().Format(time.RFC3339)
		}
		l.log.Info("drained "+d.note(), "by", d.By, "from", d.From)
	case was == nil:
		message = l.name + " was not drained"
	default:
		l.log.Info("undrained")
	}
	if err := l.keepDrain(ctx); err != nil {
		l.log.Error(err.Error())
		message += "; but a restart will forget that: " + err.Error()
	}
	return message, nil
}

// drainFile is where the order is kept.
func (s *state) drainFile() string { return filepath.Join(s.dir, "drain") }

// saveDrain keeps an order; nil forgets it.
func (s *state) saveDrain(d *drain) error {
	if d == nil {
		if err := os.Remove(s.drainFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("state_dir: end the drain: %w", err)
		}
		return nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(s.drainFile(), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("state_dir: keep the drain: %w (the directory must be writable)", err)
	}
	return nil
}

// loadDrain returns the order that is in force, nil for none. Of one that can't be read it
// is known that it was given: a node that takes nothing by mistake harms less than one that
// is under maintenance and takes something.
func (s *state) loadDrain(now time.Time) (*drain, error) {
	text, err := os.ReadFile(s.drainFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	d := &drain{}
	if err == nil {
		err = json.Unmarshal(text, d)
	}
	switch {
	case err != nil:
		return &drain{Since: now}, fmt.Errorf("state_dir: the order to drain: %w (it stays in force: vippyctl undrain ends it)", err)
	case d.over(now):
		return nil, s.saveDrain(nil)
	}
	return d, nil
}
